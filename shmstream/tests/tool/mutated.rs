//! Files that are damaged or forged: whatever lies under a stream's name, the program ends by itself, with
//! an exit code that is documented and no panic. The unit tests of the program's commands try very many
//! more, without a process for each.
//!
//! `SHMSTREAM_PROGRAM_RUNS` says how many files are tried, and `SHMSTREAM_SEED` with which to begin.

use std::fs;
use std::process::Command;

use crate::damage::{Dice, mutate, setting, templates};
use crate::support::{Dir, Run, tool};

const MUTATIONS: u64 = 150;
/// So many files at a time.
const BATCH: u64 = 25;
/// What a run may print: some times what a batch of files holds.
const MOST: usize = 4 << 20;

/// What is done with each file; `NAME` stands for its name.
const COMMANDS: [&[&str]; 9] = [
    &["info", "NAME"],
    &["info", "--json", "NAME"],
    &["dump", "NAME"],
    &["dump", "--full", "-f", "json", "NAME"],
    &["dump", "-f", "npy", "NAME"],
    &["dump", "--field", "parts.gain", "NAME"],
    &["watch", "-n", "1", "--timeout", "0.01", "NAME"],
    &[
        "watch",
        "-n",
        "1",
        "--timeout",
        "0.01",
        "--values",
        "--json",
        "NAME",
    ],
    &["watch", "-n", "1", "--timeout", "0.01", "--rate", "NAME"],
];

/// Runs the program with half a minute of time and a gigabyte of addresses.
fn run(dir: &Dir, arguments: &[&str], seed: u64) -> Run {
    let program = tool::<&str>(&[]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 1048576; exec timeout 30 \"$@\"", "sh"])
        .arg(program.get_program())
        .args(arguments)
        .env("SHMSTREAM_DIR", &dir.0);
    let run = Run::of(&mut command);
    let (code, err) = (run.0.status.code(), run.err());
    let context = || {
        format!(
            "seed {seed}: {arguments:?} ends with {:?}: {err}",
            run.0.status
        )
    };
    assert!(
        code.is_some_and(|code| (0..=8).contains(&code)),
        "{}",
        context()
    );
    assert!(run.0.stdout.len() < MOST, "{}", context());
    assert!(!err.contains("panicked"), "{}", context());
    run
}

#[test]
fn no_file_brings_the_program_down() {
    let templates = templates();
    let first = setting("SHMSTREAM_SEED", 0x7001);
    let mutations = setting("SHMSTREAM_PROGRAM_RUNS", MUTATIONS);
    let mut shown = 0;
    for begin in (0..mutations).step_by(usize::try_from(BATCH).unwrap()) {
        let dir = Dir::new();
        let seeds = (begin..mutations.min(begin + BATCH)).map(|i| first.wrapping_add(i));
        for seed in seeds.clone() {
            let mut dice = Dice::new(seed);
            let template = &templates[dice.place(0, templates.len() as u64)];
            let name = format!("s{seed}");
            fs::write(dir.file(&name), mutate(template, &mut dice)).unwrap();
            for _ in 0..2 {
                let command = COMMANDS[dice.place(0, COMMANDS.len() as u64)];
                let mut arguments = command.to_vec();
                *arguments.last_mut().unwrap() = &name;
                shown += u32::from(run(&dir, &arguments, seed).0.status.success());
            }
        }
        let seed = first.wrapping_add(begin);
        run(&dir, &["list"], seed).exits(0);
        let list = run(&dir, &["list", "--json"], seed).exits(0).json();
        let foreign = |seed| {
            !fs::read(dir.file(&format!("s{seed}")))
                .unwrap()
                .starts_with(b"SHMSTRM\n")
        };
        let streams = seeds.filter(|&seed| !foreign(seed)).count();
        assert_eq!(list.as_array().map(Vec::len), Some(streams));
        run(&dir, &["purge", "--yes", "--force"], seed).exits(0);
    }
    println!("{mutations} files, {shown} times there was something to show");
    assert!(mutations < 100 || shown > 0, "both kinds are tried");
}
