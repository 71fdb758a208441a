//! What the targets share: a directory of streams, and inputs to begin with.

use std::fs;
use std::path::{Path, PathBuf};

/// What the directories begin with; the PID of their fuzzer follows.
const DIRECTORIES: &str = "/dev/shm/shmstream-fuzz.";

/// Has the streams of this process live in a directory of their own, and returns it.
///
/// To be called before there is a second thread. A fuzzer ends in ways that leave no time to clear
/// up: so each clears up behind those that are gone.
///
/// # Panics
///
/// When the directory cannot be made.
pub fn keep_apart() -> PathBuf {
    let parent = Path::new("/dev/shm").read_dir().expect("read /dev/shm");
    for path in parent.flatten().map(|entry| entry.path()) {
        let pid = path
            .to_str()
            .and_then(|path| path.strip_prefix(DIRECTORIES));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(path);
        }
    }
    let directory = PathBuf::from(format!("{DIRECTORIES}{}", std::process::id()));
    fs::create_dir_all(&directory).expect("make a directory in /dev/shm");
    // SAFETY: `set_var` asks that no other thread reads or writes the environment: there is none, since
    // a target calls this before anything else.
    unsafe { std::env::set_var("SHMSTREAM_DIR", &directory) }
    directory
}

/// Leaves inputs to begin with where the fuzzer looks for them.
///
/// # Panics
///
/// When they cannot be written.
pub fn seed(target: &str, inputs: &[(&str, Vec<u8>)]) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&corpus).expect("make the corpus");
    for (name, input) in inputs {
        fs::write(corpus.join(name), input).expect("write into the corpus");
    }
}
