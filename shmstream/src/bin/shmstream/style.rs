//! Colours. What writes to the terminal leaves them out where they are not wanted.

use clap::builder::styling::{AnsiColor, Style, Styles};

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const HEAD: Style = Style::new().dimmed();
pub(crate) const NAME: Style = Style::new().bold();
pub(crate) const FIELD: Style = AnsiColor::Cyan.on_default();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const QUIET: Style = Style::new().dimmed();

/// The same for the help.
pub(crate) const HELP: Styles = Styles::styled()
    .header(NAME)
    .usage(NAME)
    .literal(FIELD)
    .placeholder(PLAIN)
    .error(BAD)
    .valid(GOOD)
    .invalid(DOUBTFUL);
