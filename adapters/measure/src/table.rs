//! Tables that people read as they stand and that Markdown renders.

use core::fmt;

/// Rows under titles. A title that begins with a blank aligns its column to the right.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins with the titles.
    pub fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| {
            row.get(column).map_or("", |cell| cell.trim()).replace('|', "\\|")
        };
        let is_right =
            |column: usize| self.rows[0].get(column).is_some_and(|title: &String| title.starts_with(' '));
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0).max(2)
            })
            .collect();
        for (index, row) in self.rows.iter().enumerate() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = cell(row, column);
                let space = " ".repeat(width - cell.chars().count());
                let (before, after) = if is_right(column) { (&*space, "") } else { ("", &*space) };
                write!(f, "| {before}{cell}{after} ")?;
            }
            writeln!(f, "|")?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let dashes = "-".repeat(width + 1);
                    let (before, after) = if is_right(column) { ("", ":") } else { (":", "") };
                    write!(f, "|{before}{dashes}{after}")?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// A figure as people read it: three significant digits where that is shorter, `251`, `33.5`, `1.45`, `14,896`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    } else if size >= 1000.0 {
        let digits = format!("{size:.0}");
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        return if value < 0.0 { format!("-{text}") } else { text };
    }
    let digits = if size >= 99.95 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let mut table = Table::new(&["what", " ns"]);
        table.row(["a|b", "7"]);
        table.row(["longer name"]);
        let expected = "\
| what        | ns |
|:------------|---:|
| a\\|b        |  7 |
| longer name |    |
";
        assert_eq!(table.to_string(), expected);
    }

    #[rstest]
    #[case(0.0, "0.00")]
    #[case(1.4512, "1.45")]
    #[case(9.999, "10.0")]
    #[case(33.54, "33.5")]
    #[case(99.96, "100")]
    #[case(999.4, "999")]
    #[case(14_896.2, "14,896")]
    #[case(1_234_567.0, "1,234,567")]
    #[case(-2_500.0, "-2,500")]
    #[case(f64::INFINITY, "-")]
    fn a_figure_has_three_digits(#[case] value: f64, #[case] text: &str) {
        assert_eq!(number(value), text);
    }
}
