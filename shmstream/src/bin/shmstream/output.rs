//! The standard output: colours where they are wanted, and lines that fit the terminal.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;
use crate::style;

/// The standard output, buffered; what is left is written by `flush`.
pub(crate) struct Output {
    out: BufWriter<Box<dyn Write>>,
    /// Of the terminal, if it is one.
    width: Option<usize>,
}

impl Output {
    pub(crate) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let width = terminal_size::terminal_size_of(io::stdout());
        Self {
            out: BufWriter::new(Box::new(anstream::stdout())),
            width: width
                .filter(|_| terminal)
                .map(|(width, _)| width.0.into())
                // A pseudo-terminal without a size.
                .filter(|&width| width > 0),
        }
    }

    /// Has a test take what is written.
    #[cfg(test)]
    pub(crate) fn to(out: impl Write + 'static) -> Self {
        Self {
            out: BufWriter::new(Box::new(out)),
            width: None,
        }
    }

    /// Returns the width that lines are to have; `None` where nobody looks at them.
    pub(crate) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Writes one document for programs.
    pub(crate) fn json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.out, document)?;
        writeln!(self.out)?;
        Ok(())
    }

    /// Writes one document as a line.
    pub(crate) fn json_line(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, document)?;
        writeln!(self.out)?;
        Ok(())
    }

    /// Ends the line with a text, and breaks it between words; the lines behind the first begin
    /// `indent` columns in, where this one stands.
    pub(crate) fn wrapped(&mut self, text: &str, indent: usize) -> io::Result<()> {
        let room = self
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
        let mut column = 0;
        for word in text.split(' ') {
            let len = word.chars().count();
            if column > 0 && column + 1 + len > room {
                write!(self.out, "\n{:indent$}", "")?;
                column = 0;
            } else if column > 0 {
                write!(self.out, " ")?;
                column += 1;
            }
            write!(self.out, "{word}")?;
            column += len;
        }
        writeln!(self.out)
    }
}

/// Says something on the standard error, as the program.
pub(crate) fn complain(text: impl Display) {
    let bad = style::BAD;
    remark(format_args!("{bad}shmstream{bad:#}: {text}"));
}

/// Says something on the standard error.
pub(crate) fn remark(text: impl Display) {
    // In one piece; and where that fails, nowhere is left to say so.
    let _ = anstream::stderr().write_all(format!("{text}\n").as_bytes());
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
