//! Reads a schema from text.
//!
//! Safe on any text: structs nest as deep as a stream allows, so the recursion is bounded; brackets
//! are counted; lengths are numbers and reserve nothing; sizes are checked sums and products.

use super::{SchemaError, excerpt};
use crate::dtype::DType;
use crate::schema::build::{Defect, Parts, is_name_char};
use crate::schema::wire::{MAX_DEPTH, MAX_RANK};
use crate::schema::{Item, Schema};

type Result<T> = std::result::Result<T, SchemaError>;

/// Reads a schema, and nothing behind it.
pub(super) fn schema(text: &str) -> Result<Schema> {
    let mut input = Input { text, at: 0 };
    let schema = input.schema(0)?;
    match input.peek() {
        None => Ok(schema),
        Some(_) => Err(input.expected("the end of the text")),
    }
}

/// A text, and how far it has been read.
struct Input<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Input<'a> {
    fn schema(&mut self, depth: usize) -> Result<Schema> {
        let start = self.position();
        let mut rank = 0;
        while self.eat('[') {
            rank += 1;
            if rank > MAX_RANK {
                let reason = format!("more than {MAX_RANK} dimensions in one array");
                return Err(SchemaError::at(start, reason));
            }
        }
        let item = self.item(depth)?;
        let mut schema = Schema {
            shape: Vec::new(),
            item,
        };
        for _ in 0..rank {
            self.expect(';', "`;` and a length")?;
            schema = schema.array(self.number("a length")?);
            self.expect(']', "`]`")?;
        }
        schema.check_size().map_err(blame(start))?;
        Ok(schema)
    }

    fn item(&mut self, depth: usize) -> Result<Item> {
        let start = self.position();
        let name = self.word("an element type, the name of a struct, or `[`")?;
        if self.peek() == Some('{') || self.next_word() == "align" {
            return self.structure(depth, start, name);
        }
        let dtype = if self.eat('<') {
            let part = self.word("an element type")?;
            self.expect('>', "`>`")?;
            DType::from_name(&format!("{name}<{part}>"))
        } else {
            DType::from_name(name)
        };
        dtype.map(Item::Scalar).ok_or_else(|| {
            let (names, found) = (
                DType::names(),
                excerpt(self.text[start..self.at].trim_end()),
            );
            let reason = format!(
                "expected one of {names}, or a struct with its fields in braces, found {found}"
            );
            SchemaError::at(start, reason)
        })
    }

    fn structure(&mut self, depth: usize, start: usize, name: &str) -> Result<Item> {
        if depth == MAX_DEPTH {
            let reason = format!("more than {MAX_DEPTH} structs inside each other");
            return Err(SchemaError::at(start, reason));
        }
        let mut parts = Parts::new(name).map_err(blame(start))?;
        let align = self.align()?;
        self.expect('{', "`{`")?;
        while self.peek() != Some('}') {
            let start = self.position();
            let name = self.word("the name of a field, or `}`")?;
            self.expect(':', "`:` and the type of the field")?;
            let schema = self.schema(depth + 1)?;
            parts.push(name, schema).map_err(blame(start))?;
            if !self.eat(',') {
                break;
            }
        }
        let end = self.position();
        self.expect('}', "`,` or `}`")?;
        let (align, blamed) = align.map_or((None, end), |(align, at)| (Some(align), at));
        let schema = parts.finish(align).map_err(blame(blamed))?;
        Ok(schema.item)
    }

    /// Reads `align(64)`, if it is there, and where.
    fn align(&mut self) -> Result<Option<(usize, usize)>> {
        let start = self.position();
        if self.next_word() != "align" {
            return Ok(None);
        }
        self.word("`align`")?;
        self.expect('(', "`(` and an alignment")?;
        let align = self.number("an alignment")?;
        self.expect(')', "`)`")?;
        Ok(Some((align, start)))
    }

    fn number(&mut self, what: &str) -> Result<usize> {
        let start = self.position();
        let word = self.word(what)?;
        word.parse().map_err(|_| {
            let reason = format!("expected {what}, found {}", excerpt(word));
            SchemaError::at(start, reason)
        })
    }

    /// Reads a word.
    fn word(&mut self, what: &str) -> Result<&'a str> {
        match self.next_word() {
            "" => Err(self.expected(what)),
            word => {
                self.at += word.len();
                Ok(word)
            }
        }
    }

    /// Returns the word that comes next; empty before a sign.
    fn next_word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        &rest[..end]
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char, what: &str) -> Result<()> {
        match self.eat(wanted) {
            true => Ok(()),
            false => Err(self.expected(what)),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Returns where the next word or sign begins.
    fn position(&mut self) -> usize {
        self.rest();
        self.at
    }

    /// Returns the text that has not been read, after skipping space.
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    #[cold]
    fn expected(&mut self, what: &str) -> SchemaError {
        let found = match (self.next_word(), self.peek()) {
            ("", None) => "the end".to_owned(),
            ("", Some(sign)) => excerpt(sign.encode_utf8(&mut [0; 4])),
            (word, _) => excerpt(word),
        };
        SchemaError::at(self.at, format!("expected {what}, found {found}"))
    }
}

/// Says where in the text a defect lies.
fn blame(position: usize) -> impl FnOnce(Defect) -> SchemaError {
    move |defect| SchemaError::at(position, defect)
}
