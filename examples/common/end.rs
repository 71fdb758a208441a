//! How a program ends.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What a program, or a part of it, ends with.
pub type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Becomes true when somebody asks the program to end, with Ctrl-C for instance.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// When the system refuses the signal handlers.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Self(stop))
    }

    /// Says whether the program is to end.
    #[must_use]
    pub fn asked(&self) -> bool {
        // Relaxed: nothing else is passed on with the flag.
        self.0.load(Ordering::Relaxed)
    }
}

/// Says on stderr what a program failed with, and returns its exit code.
#[must_use]
pub fn report(program: &str, result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // As with `telemetry | head`: whoever read this has enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("{program}: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text += &format!(": {cause}");
                source = cause.source();
            }
            // Where stderr is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
