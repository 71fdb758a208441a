//! Reading the machine's figures from `/proc`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use shmstream::Pod;

use crate::sample::{MAX_CORES, Memory, Network, Sample, Ticks};

/// Keeps the files open and reads them again for each sample.
pub(crate) struct Machine {
    stat: Source,
    meminfo: Source,
    net_dev: Source,
    loadavg: Source,
}

impl Machine {
    pub(crate) fn new(proc: &Path) -> Self {
        Self {
            stat: Source::new(proc, "stat", "CPU"),
            meminfo: Source::new(proc, "meminfo", "memory"),
            net_dev: Source::new(proc, "net/dev", "network"),
            loadavg: Source::new(proc, "loadavg", "load"),
        }
    }

    /// Takes a sample. A figure that cannot be had is left out of it, and reported once.
    pub(crate) fn sample(&mut self) -> Sample {
        let mut sample = Sample::zeroed();
        if let Some(cpus) = self.stat.read(parse_stat) {
            sample.known.cpu = true.into();
            sample.cpu = cpus.all;
            sample.cores = cpus.cores;
            sample.core_count = cpus.core_count;
        }
        if let Some(memory) = self.meminfo.read(parse_meminfo) {
            sample.known.memory = true.into();
            sample.memory = memory;
        }
        if let Some(network) = self.net_dev.read(parse_net_dev) {
            sample.known.network = true.into();
            sample.network = network;
        }
        if let Some(load) = self.loadavg.read(parse_loadavg) {
            sample.known.load = true.into();
            sample.load = load;
        }
        sample
    }
}

/// One file.
struct Source {
    path: PathBuf,
    figures: &'static str,
    file: Option<File>,
    text: Vec<u8>,
    reported: bool,
}

impl Source {
    fn new(proc: &Path, file: &str, figures: &'static str) -> Self {
        Self {
            path: proc.join(file),
            figures,
            file: None,
            text: Vec::new(),
            reported: false,
        }
    }

    fn read<T>(&mut self, parse: fn(&str) -> Option<T>) -> Option<T> {
        let parsed = self.text().map(|text| parse(&text));
        let reason = match parsed {
            Ok(Some(figures)) => return Some(figures),
            Ok(None) => "it is not written as expected".to_owned(),
            Err(error) => error.to_string(),
        };
        if !self.reported {
            self.reported = true;
            eprintln!(
                "telemetry: no {} figures from {}: {reason}",
                self.figures,
                self.path.display(),
            );
        }
        None
    }

    fn text(&mut self) -> io::Result<Cow<'_, str>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        file.rewind()?;
        self.text.clear();
        file.read_to_end(&mut self.text)?;
        // The name of a network interface need not be UTF-8.
        Ok(String::from_utf8_lossy(&self.text))
    }
}

struct Cpus {
    all: Ticks,
    cores: [Ticks; MAX_CORES],
    core_count: u32,
}

fn parse_stat(text: &str) -> Option<Cpus> {
    let mut all = None;
    let mut cores = [Ticks::zeroed(); MAX_CORES];
    let mut core_count = 0;
    for line in text.lines() {
        let Some((number, ticks)) = line
            .strip_prefix("cpu")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let ticks = parse_ticks(ticks)?;
        if number.is_empty() {
            all = Some(ticks);
        } else if let Some(core) = cores.get_mut(number.parse::<usize>().ok()?) {
            // By its number: the cores that are switched off have no line.
            *core = ticks;
            core_count = core_count.max(number.parse::<u32>().ok()? + 1);
        }
    }
    Some(Cpus {
        all: all?,
        cores,
        core_count,
    })
}

/// Parses the columns user, nice, system, idle, iowait, irq, softirq, steal.
///
/// The columns behind them, for guests, are contained in user and nice.
fn parse_ticks(columns: &str) -> Option<Ticks> {
    let columns: Vec<u64> = columns
        .split_whitespace()
        .take(8)
        .map(|column| column.parse().ok())
        .collect::<Option<_>>()?;
    let total = columns.iter().sum();
    let idle = columns.get(3)? + columns.get(4).unwrap_or(&0);
    Some(Ticks {
        busy: total - idle,
        total,
    })
}

fn parse_meminfo(text: &str) -> Option<Memory> {
    let bytes = |key: &str| -> Option<u64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Memory {
        total: bytes("MemTotal:")?,
        available: bytes("MemAvailable:")?,
    })
}

fn parse_net_dev(text: &str) -> Option<Network> {
    let mut network = Network::zeroed();
    // The two lines of headings have no colon. A long figure may follow its colon without a space,
    // and the name of an interface may have colons of its own.
    for (name, figures) in text.lines().filter_map(|line| line.rsplit_once(':')) {
        if name.trim() == "lo" {
            continue;
        }
        let mut figures = figures.split_whitespace();
        let received: u64 = figures.next()?.parse().ok()?;
        let sent: u64 = figures.nth(7)?.parse().ok()?;
        network.received = network.received.wrapping_add(received);
        network.sent = network.sent.wrapping_add(sent);
    }
    Some(network)
}

fn parse_loadavg(text: &str) -> Option<[f32; 3]> {
    let mut averages = text.split_whitespace().map(|average| average.parse().ok());
    Some([averages.next()??, averages.next()??, averages.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_by_their_numbers() {
        let text = "cpu  10 1 5 80 4 0 0 0 3 0\n\
                    cpu0 4 1 2 40 3 0 0 0 3 0\n\
                    cpu3 6 0 3 40 1 0 0 0\n\
                    intr 12 0\nctxt 5\n";
        let cpus = parse_stat(text).unwrap();
        let ticks = |busy, total| Ticks { busy, total };
        assert_eq!((cpus.all, cpus.core_count), (ticks(16, 100), 4));
        assert_eq!(
            cpus.cores[..4],
            [ticks(7, 50), ticks(0, 0), ticks(0, 0), ticks(9, 50)]
        );
    }

    #[test]
    fn more_cores_than_fit_are_left_out() {
        let text = "cpu  2 0 0 2\ncpu63 1 0 0 1\ncpu64 1 0 0 1\n";
        let cpus = parse_stat(text).unwrap();
        assert_eq!(cpus.core_count, 64);
    }

    #[test]
    fn a_share_needs_a_tick() {
        let (before, after) = (
            Ticks {
                busy: 5,
                total: 100,
            },
            Ticks {
                busy: 6,
                total: 104,
            },
        );
        assert_eq!(after.share_since(before), Some(0.25));
        assert_eq!(after.share_since(after), None);
        assert_eq!(before.share_since(after), None, "backwards");
    }

    #[test]
    fn memory_is_in_bytes() {
        let text = "MemTotal:       2000 kB\nMemFree:  10 kB\nMemAvailable:    500 kB\n";
        let memory = parse_meminfo(text).unwrap();
        assert_eq!((memory.total, memory.used()), (2_048_000, 1_536_000));
        assert_eq!(parse_meminfo("MemTotal: 2000 kB\n"), None);
    }

    #[test]
    fn interfaces_are_summed_without_the_loopback() {
        let text = "Inter-|   Receive                            |  Transmit\n \
                    face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n    \
                    lo:    9 1 0 0 0 0 0 0    9 1 0 0 0 0 0 0\n  \
                    eth0:123 1 0 0 0 0 0 0  45 1 0 0 0 0 0 0\n\
                    eth0:1:  1 1 0 0 0 0 0 0   2 1 0 0 0 0 0 0\n";
        let (received, sent) = (124, 47);
        assert_eq!(parse_net_dev(text), Some(Network { received, sent }));
        assert_eq!(parse_net_dev("eth0: 1 2 3\n"), None);
    }

    #[test]
    fn load_is_three_averages() {
        assert_eq!(
            parse_loadavg("0.61 0.42 0.26 1/86 15321\n"),
            Some([0.61, 0.42, 0.26])
        );
        assert_eq!(parse_loadavg("0.61 0.42\n"), None);
    }
}
