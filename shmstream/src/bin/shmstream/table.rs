//! Aligned columns.

use std::io::{self, Write};

use clap::builder::styling::Style;

use crate::style;

/// One entry of a table.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = text.to_string();
        let style = Style::new();
        Self { text, style }
    }
}

impl Cell {
    pub(crate) fn styled(text: impl ToString, style: Style) -> Self {
        let text = text.to_string();
        Self { text, style }
    }
}

/// Rows under a heading; a column whose heading begins with `>` is aligned to the right.
pub(crate) struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(head: [&'static str; N]) -> Self {
        let rows = Vec::new();
        Self { head, rows }
    }

    pub(crate) fn row(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// Writes the table, `indent` columns in. With a width, the last column is cut to it.
    pub(crate) fn write(
        &self,
        out: &mut impl Write,
        indent: usize,
        width: Option<usize>,
    ) -> io::Result<()> {
        let head = self
            .head
            .map(|name| Cell::styled(name.trim_start_matches('>'), style::HEAD));
        let mut widths = [0; N];
        for row in std::iter::once(&head).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        for row in std::iter::once(&head).chain(&self.rows) {
            write!(out, "{:indent$}", "")?;
            let mut column = indent;
            for (i, cell) in row.iter().enumerate() {
                let last = i + 1 == N;
                let text = match width {
                    Some(width) if last => cut(&cell.text, width.saturating_sub(column).max(8)),
                    _ => cell.text.clone(),
                };
                let pad = widths[i] - cell.text.chars().count();
                let (style, right) = (cell.style, self.head[i].starts_with('>'));
                let (before, after) = match (right, last) {
                    (true, _) => (pad, 0),
                    (false, true) => (0, 0),
                    (false, false) => (0, pad),
                };
                let gap = if last { 0 } else { 2 };
                write!(
                    out,
                    "{:before$}{style}{text}{style:#}{:after$}{:gap$}",
                    "", "", ""
                )?;
                column += widths[i] + gap;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// Cuts a text to a width, and shows that it was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let start: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{start}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_and_cuts() {
        let mut table = Table::new(["NAME", ">SIZE", "PAYLOAD"]);
        table.row(["imu".into(), "24 B".into(), "Imu { time: f64 }".into()]);
        table.row(["camera/left".into(), "1.2 MiB".into(), "u8".into()]);
        let mut out = Vec::new();
        table.write(&mut out, 2, Some(34)).unwrap();
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "  NAME            SIZE  PAYLOAD\n  imu             24 B  Imu { tim…\n  camera/left  1.2 MiB  u8\n"
        );
    }
}
