//! Values as text for people.
//!
//! A struct is a line for each field, an array of scalars is written as NumPy writes it: columns
//! aligned, and the middle of a large one left out.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::builder::styling::Style;
use shmstream::Item;

use super::{Fields, Parts, Value};
use crate::units;

/// Arrays of more scalars are abridged.
const LARGE: usize = 1000;
/// Arrays of more structs are abridged.
const MANY: usize = 20;
/// What is left of an abridged dimension at each end.
const EDGE: usize = 3;
const GAP: &str = "...";

/// How to write a value over several lines.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Where lines of scalars are broken.
    pub(crate) width: usize,
    /// Everything, however large.
    pub(crate) full: bool,
    /// For names of fields.
    pub(crate) name: Style,
    /// For what is beside the point.
    pub(crate) quiet: Style,
}

/// Writes a value in one line, abridged to a few scalars in each dimension.
pub(crate) fn line(value: Value<'_>) -> String {
    let mut out = String::new();
    inline(&mut out, value.without_outer_ones(), Some(EDGE));
    out
}

/// Writes a value over as many lines as it takes, the last one ended.
pub(crate) fn block(out: &mut impl Write, value: Value<'_>, layout: Layout) -> io::Result<()> {
    nested(out, value.without_outer_ones(), 0, layout)
}

/// Writes a value from the start of a line, every line `indent` columns in.
fn nested(out: &mut impl Write, value: Value<'_>, indent: usize, layout: Layout) -> io::Result<()> {
    match (value.shape(), value.item(), value.parts()) {
        (_, _, Parts::Fields(fields)) => struct_lines(out, fields, indent, layout),
        ([_, ..], Item::Struct(_), _) => struct_array(out, value, indent, layout),
        _ => {
            write!(out, "{:indent$}", "")?;
            scalars(out, value, indent, layout)
        }
    }
}

/// A line for each field: the name and, in the next column, what it holds.
fn struct_lines(
    out: &mut impl Write,
    fields: Fields<'_>,
    indent: usize,
    layout: Layout,
) -> io::Result<()> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (units::printable(name), value))
        .collect();
    let width = fields.iter().map(|(name, _)| name.chars().count()).max();
    let (width, name_style) = (width.unwrap_or(0), layout.name);
    for (name, value) in fields {
        write!(out, "{:indent$}{name_style}{name}{name_style:#}", "")?;
        if let Item::Struct(_) = value.item() {
            writeln!(out)?;
            nested(out, value, indent + 2, layout)?;
        } else {
            let gap = width - name.chars().count() + 2;
            write!(out, "{:gap$}", "")?;
            scalars(out, value, indent + width + 2, layout)?;
        }
    }
    Ok(())
}

/// Each struct behind its index, in one line where it fits.
fn struct_array(
    out: &mut impl Write,
    value: Value<'_>,
    indent: usize,
    layout: Layout,
) -> io::Result<()> {
    let items = value.items();
    let abridged = !layout.full && (items > MANY || value.scalars() > LARGE);
    for index in shown(items, abridged.then_some(EDGE)) {
        let Some(index) = index else {
            writeln!(out, "{:indent$}{GAP}", "")?;
            continue;
        };
        let label = label(value.shape(), index);
        let item = value.flat(index);
        let mut text = String::new();
        if item.scalars() <= layout.width {
            inline(&mut text, item, None);
        }
        if !text.is_empty() && indent + label.len() + 1 + text.chars().count() <= layout.width {
            writeln!(out, "{:indent$}{label} {text}", "")?;
        } else {
            writeln!(out, "{:indent$}{label}", "")?;
            nested(out, item, indent + 2, layout)?;
        }
    }
    Ok(())
}

/// Writes the index of an item: `[4]`, `[1, 0]`.
fn label(shape: &[usize], mut index: usize) -> String {
    let mut indices: Vec<_> = shape
        .iter()
        .rev()
        .map(|&len| {
            let here = index % len;
            index /= len;
            here.to_string()
        })
        .collect();
    indices.reverse();
    format!("[{}]", indices.join(", "))
}

/// Writes a scalar or an array of scalars from where the line stands, `indent` columns in.
fn scalars(
    out: &mut impl Write,
    value: Value<'_>,
    indent: usize,
    layout: Layout,
) -> io::Result<()> {
    let edge = (!layout.full && value.items() > LARGE).then_some(EDGE);
    let matrix = Matrix {
        cell: widest(value, edge),
        edge,
        width: layout.width,
        rank: value.shape().len(),
    };
    matrix.write(out, value, indent)?;
    writeln!(out)
}

struct Matrix {
    cell: usize,
    edge: Option<usize>,
    width: usize,
    rank: usize,
}

impl Matrix {
    fn write(&self, out: &mut impl Write, value: Value<'_>, indent: usize) -> io::Result<()> {
        let rows = match value.parts() {
            Parts::Rows(rows) => rows,
            Parts::Scalar(element) => return write!(out, "{element}"),
            Parts::Fields(_) => return Ok(()),
        };
        write!(out, "[")?;
        let (innermost, indent) = (value.shape().len() == 1, indent + 1);
        let mut column = indent;
        for (i, index) in shown(rows.len(), self.edge).enumerate() {
            let text = match index {
                Some(index) if innermost => self.cell(rows.row(index)),
                Some(_) => String::new(),
                None => GAP.to_owned(),
            };
            let breaks = if i == 0 {
                0
            } else if innermost {
                // With room for the comma or the bracket behind it.
                usize::from(column + 2 + text.len() + 1 > self.width)
            } else {
                value.shape().len() - 1
            };
            if i > 0 {
                write!(out, ",")?;
            }
            if breaks > 0 {
                write!(out, "{}{:indent$}", "\n".repeat(breaks), "")?;
                column = indent;
            } else if i > 0 {
                write!(out, " ")?;
                column += 2;
            }
            write!(out, "{text}")?;
            column += text.len();
            if let Some(index) = index.filter(|_| !innermost) {
                self.write(out, rows.row(index), indent)?;
            }
        }
        write!(out, "]")
    }

    /// A scalar, aligned to those above and below it.
    fn cell(&self, value: Value<'_>) -> String {
        let mut text = String::new();
        inline(&mut text, value, None);
        // Alone in its line, there is nothing to align to.
        let width = if self.rank > 1 || self.cell <= 8 {
            self.cell
        } else {
            0
        };
        format!("{text:>width$}")
    }
}

/// The width of the widest scalar that is shown.
fn widest(value: Value<'_>, edge: Option<usize>) -> usize {
    match value.parts() {
        Parts::Rows(rows) => shown(rows.len(), edge)
            .flatten()
            .map(|index| widest(rows.row(index), edge))
            .max()
            .unwrap_or(0),
        Parts::Scalar(element) => element.to_string().len(),
        Parts::Fields(_) => 0,
    }
}

/// The indices of a dimension that are shown; `None` stands for those left out.
fn shown(len: usize, edge: Option<usize>) -> impl Iterator<Item = Option<usize>> {
    let edge = edge.filter(|edge| len > 2 * edge);
    let head = edge.unwrap_or(len);
    let tail = edge.map_or(len, |edge| len - edge);
    let gap = edge.map(|_| None);
    (0..head).map(Some).chain(gap).chain((tail..len).map(Some))
}

fn inline(out: &mut String, value: Value<'_>, edge: Option<usize>) {
    match value.parts() {
        Parts::Rows(rows) => {
            out.push('[');
            for (i, index) in shown(rows.len(), edge).enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                match index {
                    Some(index) => inline(out, rows.row(index), edge),
                    None => out.push_str(GAP),
                }
            }
            out.push(']');
        }
        Parts::Fields(fields) => {
            out.push('{');
            for (i, (name, value)) in fields.iter().enumerate() {
                let comma = if i == 0 { " " } else { ", " };
                let _ = write!(out, "{comma}{}: ", units::printable(name));
                inline(out, value, edge);
            }
            out.push_str(" }");
        }
        Parts::Scalar(element) => {
            let _ = write!(out, "{element}");
        }
    }
}

#[cfg(test)]
mod tests {
    use shmstream::{DType, Schema};

    use super::super::tests::{scalar, state, state_bytes, structure};
    use super::*;

    fn text(schema: &Schema, bytes: &[u8], width: usize, full: bool) -> String {
        let mut out = Vec::new();
        let (name, quiet) = (Style::new(), Style::new());
        let layout = Layout {
            width,
            full,
            name,
            quiet,
        };
        block(&mut out, Value::new(schema, bytes), layout).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn counting(len: u16) -> Vec<u8> {
        (0..len).flat_map(u16::to_ne_bytes).collect()
    }

    #[test]
    fn writes_a_struct_field_by_field() {
        let schema = state().array(1);
        assert_eq!(
            text(&schema, &state_bytes(12.25), 80, false),
            "time  12.25\n\
             pose\n  \
               position  [ 0.1, -2.0,  NaN]\n  \
               gain      1.5\n\
             on    [false,  true]\n\
             id    [    1,     2, 65535]\n"
        );
    }

    #[test]
    fn writes_structs_behind_their_index() {
        let schema = state().array(2).array(1).array(2);
        let bytes = state_bytes(1.0).repeat(4);
        let wide = text(&schema, &bytes, 200, false);
        assert_eq!(
            wide.lines().nth(1).unwrap(),
            "[0, 0, 1] { time: 1.0, pose: { position: [0.1, -2.0, NaN], gain: 1.5 }, \
             on: [false, true], id: [1, 2, 65535] }"
        );
        let narrow = text(&schema, &bytes, 40, false);
        assert!(
            narrow.contains("[1, 0, 1]\n  time  1.0\n  pose\n    position  ["),
            "{narrow}"
        );
        let many = state().array(30);
        let many = text(&many, &state_bytes(1.0).repeat(30), 200, false);
        assert_eq!(many.lines().count(), 7);
        assert_eq!(many.lines().nth(3), Some("..."));
        assert!(many.lines().nth(4).unwrap().starts_with("[27] {"));
    }

    #[test]
    fn aligns_matrices() {
        let schema = scalar(DType::U16).array(4).array(3);
        assert_eq!(
            text(&schema, &counting(12), 80, false),
            "[[ 0,  1,  2,  3],\n [ 4,  5,  6,  7],\n [ 8,  9, 10, 11]]\n"
        );
        let deep = scalar(DType::U16).array(2).array(2).array(2);
        assert_eq!(
            text(&deep, &counting(8), 80, false),
            "[[[0, 1],\n  [2, 3]],\n\n [[4, 5],\n  [6, 7]]]\n"
        );
    }

    #[test]
    fn abridges_what_is_large() {
        let schema = scalar(DType::U16).array(40).array(40);
        assert_eq!(
            text(&schema, &counting(1600), 80, false),
            "[[   0,    1,    2, ...,   37,   38,   39],\n \
              [  40,   41,   42, ...,   77,   78,   79],\n \
              [  80,   81,   82, ...,  117,  118,  119],\n \
              ...,\n \
              [1480, 1481, 1482, ..., 1517, 1518, 1519],\n \
              [1520, 1521, 1522, ..., 1557, 1558, 1559],\n \
              [1560, 1561, 1562, ..., 1597, 1598, 1599]]\n"
        );
        let full = text(&schema, &counting(1600), 80, true);
        assert!(!full.contains("..."));
        assert_eq!(full.matches(',').count(), 1599);
    }

    #[test]
    fn breaks_long_lines() {
        let schema = scalar(DType::U16).array(30);
        let text = text(&schema, &counting(30), 40, false);
        assert!(text.lines().count() > 2);
        assert!(text.lines().all(|line| line.len() <= 40), "{text}");
        assert!(
            text.lines().nth(1).unwrap().starts_with(" 10, 11, "),
            "{text}"
        );
    }

    #[test]
    fn names_say_nothing_to_the_terminal() {
        let schema = structure("S", &[("a\x1b[2J", scalar(DType::U8))]);
        assert_eq!(text(&schema, &[1], 80, false), "a\\u{1b}[2J  1\n");
        assert_eq!(line(Value::new(&schema, &[1])), "{ a\\u{1b}[2J: 1 }");
    }

    #[test]
    fn writes_one_line() {
        let schema = state().array(1);
        assert_eq!(
            line(Value::new(&schema, &state_bytes(0.5))),
            "{ time: 0.5, pose: { position: [0.1, -2.0, NaN], gain: 1.5 }, on: [false, true], \
             id: [1, 2, 65535] }"
        );
        let schema = scalar(DType::U16).array(100);
        assert_eq!(
            line(Value::new(&schema, &counting(100))),
            "[0, 1, 2, ..., 97, 98, 99]"
        );
        let schema = scalar(DType::U16).array(1);
        assert_eq!(line(Value::new(&schema, &counting(1))), "0");
    }
}
