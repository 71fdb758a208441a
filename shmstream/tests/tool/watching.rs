//! `watch`, and pipes that are closed.

use std::io::{BufRead, BufReader, PipeWriter, Read, pipe};
use std::process::{Child as Process, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shmstream::Stream;

use crate::support::{Child, Dir, Name, Run, eventually, tool};

fn signal(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(process.id().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn prints_a_line_for_each_frame() {
    let name = Name::new("lines");
    let stream = Stream::<f32, 2>::create(&name).unwrap();
    stream.write_with_id(40, &[0.5, 1.5]).unwrap();
    let mut process = tool(&["watch", "-n", "3", "--json", "--values", &name.0])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!(
        (&first["count"], &first["frame_id"], &first["missed"]),
        (&1.into(), &40.into(), &0.into())
    );
    assert_eq!(first["value"], serde_json::json!([0.5, 1.5]));
    // Each line comes without waiting for the next.
    stream.write_with_id(41, &[2.5, 3.5]).unwrap();
    assert_eq!(next()["frame_id"], 41);
    stream.write_with_id(42, &[2.5, 3.5]).unwrap();
    assert_eq!(next()["count"], 3);
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn keeps_up_with_full_speed() {
    let name = Name::new("speed");
    let _child = Child::start("publish", &name.0, None);
    let run = Run::new(&["watch", "-n", "2000", "--json", "--values", &name.0]).exits(0);
    let mut before = 0;
    for line in run.out().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let count = line["count"].as_u64().unwrap();
        if before > 0 {
            assert_eq!(line["missed"], count - before - 1);
        }
        before = count;
        // A torn frame would have two of them.
        let values = line["value"].as_array().unwrap();
        assert_eq!(values.len(), 32);
        assert!(values.iter().all(|value| value == count), "{line}");
    }
    let json = Run::new(&["dump", "--format", "json", &name.0])
        .exits(0)
        .json();
    let count = &json["count"];
    assert!(
        json["value"]
            .as_array()
            .unwrap()
            .iter()
            .all(|value| value == count)
    );
    Run::new(&["info", &name.0]).exits(0);
}

#[test]
fn prints_rates() {
    let name = Name::new("rate");
    let _child = Child::start("publish", &name.0, None);
    let run = Run::new(&["watch", "--rate", "-n", "1", "--json", &name.0]).exits(0);
    let line: Value = serde_json::from_str(&run.out()).unwrap();
    let number = |key: &str| {
        line[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key} in {line}"))
    };
    assert!(number("seconds") >= 1.0);
    assert!(number("frames") >= number("missed") + 1.0);
    let rate = number("frames") / number("seconds");
    assert!((number("frames_per_second") / rate - 1.0).abs() < 1e-6);
    assert!((number("bytes_per_second") / (256.0 * rate) - 1.0).abs() < 1e-3);

    let text = Run::new(&["watch", "--rate", "-n", "1", &name.0])
        .exits(0)
        .out();
    assert!(text.starts_with("TIME"), "{text}");
    assert!(text.contains("/s"), "{text}");
}

#[test]
fn watches_large_frames_by_their_headers() {
    let name = Name::new("headers");
    let stream = Stream::<[u64; 1024], 64>::create(&name).unwrap();
    drop(stream.loan().unwrap().publish_with_id(5));
    let line = Run::new(&["watch", "-n", "1", "--json", &name.0])
        .exits(0)
        .json();
    assert_eq!((&line["count"], &line["frame_id"]), (&1.into(), &5.into()));
}

#[test]
fn gives_up_after_a_timeout() {
    let name = Name::new("timeout");
    let _stream = Stream::<f32, 2>::create(&name).unwrap();
    let run = Run::new(&["watch", "--timeout", "0.1", &name.0]).complains(1, "no frame");
    assert_eq!(run.out().lines().count(), 1);
}

#[test]
fn ends_with_a_summary() {
    let name = Name::new("summary");
    let stream = Stream::<f32, 2>::create(&name).unwrap();
    for interruption in [Signal::INT, Signal::TERM] {
        stream.write(&[0.0; 2]).unwrap();
        let mut process = tool(&["watch", "--json", &name.0])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        signal(&process, interruption);
        let mut err = String::new();
        process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(0));
        assert!(
            err.contains("1 frame of") && err.contains("0 missed"),
            "{err}"
        );
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "the summary is not for programs");
    }
}

#[test]
fn tells_that_the_name_is_gone() {
    let name = Name::new("gone");
    let stream = Stream::<f32, 2>::create(&name).unwrap();
    stream.write(&[0.0; 2]).unwrap();
    let mut process = tool(&["watch", &name.0])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    for _ in 0..2 {
        out.read_line(&mut String::new()).unwrap();
    }
    let mut err = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    stream.unlink().unwrap();
    err.read_line(&mut line).unwrap();
    assert!(line.contains("was unlinked"), "{line}");
    // Another stream under the name is not this one.
    let _other = Stream::<f32, 2>::create(&name).unwrap();
    line.clear();
    err.read_line(&mut line).unwrap();
    assert!(line.contains("open it again"), "{line}");
    assert_eq!(process.wait().unwrap().code(), Some(3));
}

/// The end of a pipe whose other end is closed.
fn closed_pipe() -> PipeWriter {
    let (_, writer) = pipe().unwrap();
    writer
}

#[test]
fn a_closed_standard_error_is_no_panic() {
    let dir = Dir::new();
    for (arguments, expected) in [
        (&["list"][..], 0),
        (&["info", "absent"], 3),
        (&["purge"], 0),
    ] {
        let mut command = tool(arguments);
        command.env("SHMSTREAM_DIR", &dir.0).stderr(closed_pipe());
        let code = command.status().unwrap().code();
        assert_eq!(code, Some(expected), "{arguments:?}");
    }
}

#[test]
fn closed_pipes_end_it_quietly() {
    let name = Name::new("pipe");
    let _child = Child::start("publish", &name.0, None);
    let endless = ["watch", name.0.as_str()];
    for arguments in [
        &endless[..],
        &["list"],
        &["dump", &name.0],
        &["--help"],
        &["completions", "bash"],
    ] {
        let mut process = tool(arguments)
            .stdout(closed_pipe())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the program ends", || process.try_wait().unwrap().is_some());
        let run = Run(process.wait_with_output().unwrap()).exits(0);
        assert_eq!(run.err(), "", "{arguments:?}");
    }
}
