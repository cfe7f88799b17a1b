//! What people and programs read: lines, tables, JSON, a status line, numbers with units.

use core::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

/// How a command talks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Output {
    /// JSON on standard output instead of text.
    pub(crate) json: bool,
    /// No progress and no remarks on standard error.
    pub(crate) quiet: bool,
}

impl Output {
    /// Writes a line of text to standard output.
    ///
    /// # Errors
    /// The system's; a reader that went away is told by [`nobody_reads`].
    pub(crate) fn line(self, text: impl Display) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }

    /// Writes a value to standard output as one line of JSON.
    ///
    /// # Errors
    /// As [`line`](Self::line).
    pub(crate) fn value(self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string(value)?;
        text.push('\n');
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Writes a remark to standard error, unless nobody wants any. One that cannot be written is lost.
    pub(crate) fn note(self, text: impl Display) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }
}

/// Writes an error to standard error, with those causes that it does not name itself.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.contains(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{cause}");
        }
    }
    let _ = writeln!(io::stderr(), "{} {text}", Paint::stderr().paint("1;31", "error:"));
}

/// Tells whether an error only says that the reader of standard output has gone, as `head` does.
pub(crate) fn nobody_reads(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Colours text for a terminal that wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self(wanted(io::stdout().is_terminal()))
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self(wanted(io::stderr().is_terminal()))
    }

    /// Puts a colour (the numbers of `ESC [ ... m`) around a text.
    pub(crate) fn paint(self, colour: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Follows <https://no-color.org>: any text in NO_COLOR means none.
fn wanted(terminal: bool) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    terminal && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A line on standard error that is written anew each time: on a terminal in place, elsewhere as lines of their own.
#[derive(Debug)]
pub(crate) struct Status {
    shown: bool,
    terminal: bool,
    quiet: bool,
}

impl Status {
    /// Shows nothing yet.
    pub(crate) fn new(output: Output) -> Self {
        Self { shown: false, terminal: io::stderr().is_terminal(), quiet: output.quiet }
    }

    /// Tells whether lines are replaced, so that they may come often.
    pub(crate) const fn is_live(&self) -> bool {
        self.terminal
    }

    /// Shows a line.
    pub(crate) fn show(&mut self, line: &str) {
        if self.quiet {
            return;
        }
        let (before, after) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(io::stderr(), "{before}{line}{after}");
        self.shown = self.terminal;
    }

    /// Writes a line that stays.
    pub(crate) fn say(&mut self, line: impl Display) {
        self.clear();
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if core::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Columns that line up. A column whose title begins with a blank is aligned to the right.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins with the titles.
    pub(crate) fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Lays the table out, a line per row.
    pub(crate) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| row.get(column).map_or("", |cell| cell.trim()).to_owned();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
            .collect();
        let is_right: Vec<bool> = (0..columns)
            .map(|column| self.rows[0].get(column).is_some_and(|title| title.starts_with(' ')))
            .collect();
        let lay_out = |row: &Vec<String>| {
            let cells = widths.iter().zip(&is_right).enumerate().map(|(column, (&width, &right))| {
                let cell = cell(row, column);
                if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(lay_out).collect()
    }

    /// Writes the table to standard output, the titles in bold.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub(crate) fn print(&self, output: Output) -> io::Result<()> {
        let paint = Paint::stdout();
        for (index, line) in self.lines().iter().enumerate() {
            if index == 0 { output.line(paint.paint("1", line))? } else { output.line(line)? }
        }
        Ok(())
    }
}

/// Bytes as people read them: `6.8 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count, &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")])
        .unwrap_or_else(|| format!("{count} B"))
}

/// Nanoseconds as people read them: `21.3 us`.
pub(crate) fn nanos(count: u64) -> String {
    scaled(count, &[(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")])
        .unwrap_or_else(|| format!("{count} ns"))
}

fn scaled(count: u64, units: &[(u64, &str)]) -> Option<String> {
    let &(size, unit) = units.iter().find(|(size, _)| count >= *size)?;
    let value = count as f64 / size as f64;
    let digits = if value < 99.95 { 1 } else { 0 };
    Some(format!("{value:.digits$} {unit}"))
}

/// A rate that is a fraction: `30`, `29.97`, `variable`.
pub(crate) fn rate((frames, seconds): (u32, u32)) -> String {
    match (frames, seconds) {
        (0, _) | (_, 0) => "variable".to_owned(),
        (frames, 1) => frames.to_string(),
        (frames, seconds) => format!("{:.2}", f64::from(frames) / f64::from(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 B")]
    #[case(1023, "1023 B")]
    #[case(1 << 20, "1.0 MiB")]
    #[case(6_770_688, "6.5 MiB")]
    #[case(64 << 30, "64.0 GiB")]
    #[case(200 << 10, "200 KiB")]
    fn bytes_are_read_by_people(#[case] count: u64, #[case] text: &str) {
        assert_eq!(bytes(count), text);
    }

    #[rstest]
    #[case(0, "0 ns")]
    #[case(21_340, "21.3 us")]
    #[case(999_999, "1000 us")]
    #[case(2_000_000_000, "2.0 s")]
    fn times_are_read_by_people(#[case] count: u64, #[case] text: &str) {
        assert_eq!(nanos(count), text);
    }

    #[rstest]
    #[case::whole((30, 1), "30")]
    #[case::ntsc((30000, 1001), "29.97")]
    #[case::unknown((0, 1), "variable")]
    #[case::damaged((30, 0), "variable")]
    fn a_rate_is_shown_as_frames_per_second(#[case] fraction: (u32, u32), #[case] text: &str) {
        assert_eq!(rate(fraction), text);
    }

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let mut table = Table::new(&["LANE", " FRAMES", "WHO"]);
        table.row(vec!["front-door".into(), "7".into(), "me".into()]);
        table.row(vec!["x".into(), "12345678".into()]);
        assert_eq!(
            table.lines(),
            ["LANE          FRAMES  WHO", "front-door         7  me", "x           12345678"]
        );
    }

    #[test]
    fn a_reader_that_left_is_told_from_other_errors() {
        assert!(nobody_reads(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!nobody_reads(&io::Error::from(io::ErrorKind::StorageFull).into()));
    }
}
