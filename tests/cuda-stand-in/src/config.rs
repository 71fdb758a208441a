//! Settings, read from the environment once.

use std::ffi::{CString, c_int};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use crate::fault::Rule;

/// What the environment asks for.
pub(crate) struct Config {
    /// How many devices the machine has.
    pub(crate) devices: u32,
    /// What they are called.
    pub(crate) name: CString,
    /// Which of them are visible, as `CUDA_VISIBLE_DEVICES` spells it.
    pub(crate) visible: Option<String>,
    /// Whether devices can reach each other's memory.
    pub(crate) peers: bool,
    /// Whether the devices have memory pools.
    pub(crate) pools: bool,
    /// Attributes of the devices that differ from the usual.
    pub(crate) attributes: Vec<(c_int, c_int)>,
    /// How much memory a device has.
    pub(crate) memory: usize,
    /// How long a queue waits before each thing that it does to memory.
    pub(crate) delay: Duration,
    /// The process id that handles carry, in place of the real one.
    pub(crate) pid: Option<u32>,
    /// Which calls fail.
    pub(crate) rules: Vec<Rule>,
    /// Where calls are noted.
    pub(crate) log: Option<PathBuf>,
}

/// Returns the settings. A malformed one ends the process: a test that sets it wrongly must not pass.
pub(crate) fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| Config {
        devices: number("STANDIN_DEVICES").unwrap_or(1),
        name: std::env::var_os("STANDIN_NAME")
            .and_then(|name| CString::new(name.into_encoded_bytes()).ok())
            .unwrap_or_else(|| c"CUDA stand-in".to_owned()),
        visible: std::env::var("CUDA_VISIBLE_DEVICES").ok(),
        peers: number("STANDIN_PEERS").unwrap_or(1) != 0,
        pools: number("STANDIN_POOLS").unwrap_or(1) != 0,
        attributes: list("STANDIN_ATTRIBUTES", |pair| {
            let (number, value) = pair.split_once('=')?;
            Some((number.parse().ok()?, value.parse().ok()?))
        }),
        memory: number("STANDIN_MEMORY").unwrap_or(8 << 30),
        delay: Duration::from_micros(number("STANDIN_DELAY_US").unwrap_or(0)),
        pid: number("STANDIN_PID"),
        rules: list("STANDIN_FAIL", Rule::parse),
        log: std::env::var_os("STANDIN_LOG").map(PathBuf::from),
    })
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| malformed(name, &value)))
}

fn list<T>(name: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let value = std::env::var(name).unwrap_or_default();
    let entries = value.split(',').filter(|entry| !entry.is_empty());
    entries
        .map(|entry| parse(entry).unwrap_or_else(|| malformed(name, entry)))
        .collect()
}

/// Says what is wrong and ends the process.
pub(crate) fn malformed(name: &str, value: &str) -> ! {
    eprintln!("CUDA stand-in: {name} has {value:?}, which means nothing");
    std::process::abort()
}
