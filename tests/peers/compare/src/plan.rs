//! What is measured, and for how long.

use std::time::Duration;

use peers_drive::{Job, Readers, Size};

use crate::cell::Cell;
use crate::process::Program;

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    pub(crate) rounds: usize,
    /// Of the full time of each measurement, in percent.
    time: u32,
    sizes: &'static [Size],
    sleepers: &'static [u32],
    readers: &'static [u32],
}

impl Depth {
    const FULL: Self =
        Self { rounds: 5, time: 100, sizes: &Size::ALL, sleepers: &[1, 2, 4], readers: &[0, 1, 4, 16, 64] };
    const QUICK: Self =
        Self { rounds: 2, time: 60, sizes: &[Size::Fhd], sleepers: &[1, 4], readers: &[0, 4, 64] };
    const SMOKE: Self = Self { rounds: 1, time: 2, sizes: &[Size::Vga], sleepers: &[1], readers: &[0, 2] };

    pub(crate) const fn of(quick: bool, smoke: bool) -> Self {
        match (quick, smoke) {
            (_, true) => Self::SMOKE,
            (true, _) => Self::QUICK,
            _ => Self::FULL,
        }
    }

    fn time(self, milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds) * self.time / 100
    }
}

/// Everything that the programs' entries can do. Neighbours in the list are neighbours in time: the same measure by one
/// entry after the other.
pub(crate) fn cells(programs: &[Program], depth: Depth) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut all = |job, add: &mut dyn FnMut(&Cell, u32) -> Vec<Cell>| {
        let mut columns: Vec<Vec<Cell>> = Vec::new();
        for program in programs {
            for entry in &program.entries {
                for way in entry.jobs.iter().filter(|(can, _)| *can == job).flat_map(|(_, ways)| ways) {
                    let cell = Cell {
                        command: program.command.clone(),
                        entry: entry.name.clone(),
                        job,
                        way: *way,
                        size: Size::Fhd,
                        readers: 1,
                        doing: Readers::Silent,
                        rate: 60,
                        time: Duration::ZERO,
                    };
                    for (index, cell) in add(&cell, entry.readers).into_iter().enumerate() {
                        if columns.len() <= index {
                            columns.resize_with(index + 1, Vec::new);
                        }
                        columns[index].push(cell);
                    }
                }
            }
        }
        cells.extend(columns.into_iter().flatten());
    };
    let small = if depth.time < 10 { Size::Vga } else { Size::Fhd };
    all(Job::Polling, &mut |cell, _| {
        depth.sizes.iter().map(|&size| Cell { size, time: depth.time(200), ..cell.clone() }).collect()
    });
    all(Job::Asleep, &mut |cell, most| {
        let counts = depth.sleepers.iter().filter(|&&readers| readers <= most);
        counts.map(|&readers| Cell { readers, size: small, time: depth.time(300), ..cell.clone() }).collect()
    });
    all(Job::Stream, &mut |cell, _| {
        let rates = [(30, 900), (60, 900)];
        rates.map(|(rate, time)| Cell { rate, size: small, time: depth.time(time), ..cell.clone() }).into()
    });
    all(Job::Readers, &mut |cell, most| {
        let cell = Cell { size: Size::Vga, time: depth.time(60), ..cell.clone() };
        let counts = depth.readers.iter().filter(move |&&readers| readers <= most);
        let silent = counts.clone().map(|&readers| Cell { readers, ..cell.clone() });
        let turning = counts.clone().filter(|&&readers| readers > 0).map(|&readers| Cell {
            readers,
            doing: Readers::Turning,
            ..cell.clone()
        });
        let polling = counts.clone().filter(|&&readers| (1..=4).contains(&readers)).map(|&readers| Cell {
            readers,
            doing: Readers::Polling,
            ..cell.clone()
        });
        silent.chain(turning).chain(polling).collect()
    });
    all(Job::Rate, &mut |cell, _| {
        depth.sizes.iter().map(|&size| Cell { size, time: depth.time(300), ..cell.clone() }).collect()
    });
    all(Job::Attach, &mut |cell, _| vec![Cell { size: small, time: depth.time(250), ..cell.clone() }]);
    all(Job::Python, &mut |cell, _| vec![Cell { size: small, time: depth.time(200), ..cell.clone() }]);
    cells
}
