//! What is different on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child as Process, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use shmstream::Stream;

use crate::support::{Dir, Name, Run, tool};

/// A terminal of 60 columns with the program on it.
struct Terminal {
    screen: File,
    process: Process,
}

impl Terminal {
    fn run(command: &mut Command) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 60,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&screen, size).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let end: OwnedFd = rustix::fs::open(&name, flags, Mode::empty()).unwrap();
        let end = || Stdio::from(end.try_clone().unwrap());
        let process = command
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        // The command must not keep the other end open.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            screen: screen.into(),
            process,
        }
    }

    /// Reads until the program asks something, answers, and returns what was read.
    fn answer(&mut self, question: &str, answer: &str) -> String {
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(question.as_bytes()) {
            self.screen.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
        self.screen.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Reads until the program ends, and returns all of it with the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut text = Vec::new();
        // The last read fails: nobody has the other end open any more.
        let _ = self.screen.read_to_end(&mut text);
        let code = self.process.wait().unwrap().code();
        (String::from_utf8_lossy(&text).replace("\r\n", "\n"), code)
    }
}

const ESCAPE: char = '\x1b';

#[test]
fn colours_are_for_terminals() {
    let dir = Dir::new();
    dir.create(&["one"]);
    let list = |arguments: &[&str]| {
        let mut command = tool(arguments);
        command.env("SHMSTREAM_DIR", &dir.0);
        command
    };
    let shown = |mut command: Command| Terminal::run(&mut command).end().0;
    assert!(shown(list(&["list"])).contains(ESCAPE));
    let mut plain = list(&["list"]);
    plain.env("NO_COLOR", "1");
    assert!(!shown(plain).contains(ESCAPE));
    assert!(!shown(list(&["list", "--color", "never"])).contains(ESCAPE));
    assert!(!Run::of(&mut list(&["list"])).out().contains(ESCAPE));
    assert!(
        Run::of(&mut list(&["list", "--color", "always"]))
            .out()
            .contains(ESCAPE)
    );
}

#[test]
fn lines_fit_the_terminal() {
    let name = Name::new("width");
    let stream = Stream::<[[f32; 16]; 16], 4>::create(&name).unwrap();
    stream.write(&[[[0.123_456_7; 16]; 16]; 4]).unwrap();
    for arguments in [&["info", &name.0][..], &["doctor"]] {
        let mut command = tool(arguments);
        command.env("NO_COLOR", "1");
        let (text, _) = Terminal::run(&mut command).end();
        for line in text.lines().filter(|line| line.contains(' ')) {
            // A word that is longer than the line stands alone.
            let last = line.trim_start().rsplit("  ").next().unwrap_or_default();
            assert!(line.chars().count() <= 60 || !last.contains(' '), "{line}");
        }
    }
}

#[test]
fn purge_asks() {
    let dir = Dir::new();
    dir.create(&["one", "two"]);
    let mut purge = tool(&["purge"]);
    purge.env("SHMSTREAM_DIR", &dir.0);
    let mut terminal = Terminal::run(&mut purge);
    let text = terminal.answer("? [y/N] ", "n\n");
    assert!(
        text.contains("one") && text.contains("Unlink 2 streams"),
        "{text}"
    );
    assert_eq!(terminal.end().1, Some(1));
    assert!(dir.file("one").exists() && dir.file("two").exists());

    let mut terminal = Terminal::run(&mut purge);
    let _ = terminal.answer("Unlink 2 streams? [y/N] ", "y\n");
    let (text, code) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
    assert!(!dir.file("one").exists() && !dir.file("two").exists());
}

#[test]
fn bytes_are_not_for_terminals() {
    let name = Name::new("bytes");
    let stream = Stream::<f32, 4>::create(&name).unwrap();
    stream.write(&[0.0; 4]).unwrap();
    let (text, code) = Terminal::run(&mut tool(&["dump", "--format", "npy", &name.0])).end();
    assert!(text.contains("--output"), "{text}");
    assert_eq!(code, Some(2));
}
