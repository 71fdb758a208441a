//! The crash matrix: a process in each role is killed at each step, and loses nobody else anything.
//!
//! ```text
//! RUSTFLAGS="--cfg shmstream_kill_points" CARGO_TARGET_DIR=target/kill-points \
//!     cargo test -p shmstream-tests --test crash_matrix
//! ```
//!
//! The steps are those of `shmstream/src/kill_point.rs`. Each role runs once to say which it passes,
//! and then dies at every one of them by SIGKILL, by itself and while another holds a frame. What the
//! deaths led to is compared with `shmstream/docs/crash_matrix.md`; with `SHMSTREAM_WRITE_MATRIX=1`
//! that page is written. `SHMSTREAM_MATRIX_ROLES=write,lock` runs a few roles, and leaves the page
//! alone.
//!
//! `instruction.rs` kills behind single instructions, at random; this names the steps, and leaves none
//! out.
#![cfg(shmstream_kill_points)]

mod aftermath;
mod bystander;
mod page;
mod roles;
mod scene;
mod sleep;
mod words;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use shmstream::__private::KillPoint;
use shmstream_tests::{directory, eventually, play};

use aftermath::Outcome;
use page::Page;
use roles::{Kind, ROLES, Role};
use scene::Scene;

/// How many roles are played at a time.
const WORKERS: usize = 2;
/// How long anybody may take to go on after a death. Promised are 100 ms; machines are busy.
const BOUND: Duration = Duration::from_secs(1);
/// How often it must take longer to count.
const SLOW_ATTEMPTS: usize = 3;

#[test]
fn child_entry() {
    play(&[
        ("bystander", bystander::bystander),
        ("victim", roles::victim),
    ]);
}

/// Returns the time on the monotonic clock, which processes share.
fn now_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// One death that there is to be.
#[derive(Clone, Copy, Debug)]
struct Death {
    point: KillPoint,
    passage: u32,
    /// While another process holds a frame.
    held: bool,
}

/// What the deaths led to.
#[derive(Default)]
struct Results {
    passed: BTreeSet<KillPoint>,
    page: Page,
    failed: Vec<String>,
}

#[test]
fn a_process_dies_at_every_step() {
    let chosen = std::env::var("SHMSTREAM_MATRIX_ROLES").ok();
    let roles: Vec<_> = ROLES
        .iter()
        .enumerate()
        .filter(|(_, role)| {
            let chosen = chosen.as_ref();
            chosen.is_none_or(|names| names.split(',').any(|name| name == role.name))
        })
        .collect();
    let results = Mutex::new(Results::default());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(&(number, role)) = roles.get(next.fetch_add(1, Ordering::Relaxed)) {
                    play_role(number, role, &results);
                }
            });
        }
    });
    let Results {
        passed,
        page,
        failed,
    } = results.into_inner().unwrap();
    println!("{}", page.figures());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    if chosen.is_some() {
        return println!("{}", page.text());
    }
    let missed: Vec<_> = KillPoint::ALL
        .iter()
        .filter(|point| !passed.contains(point))
        .collect();
    assert!(missed.is_empty(), "no role passes {missed:?}");
    page.compare_or_write();
}

/// Has a role die at every point that it passes.
fn play_role(number: usize, role: &'static Role, results: &Mutex<Results>) {
    for held in [false, true] {
        if held && role.kind == Kind::Creator {
            continue;
        }
        let passed = match attempt(|| live(role, held)) {
            Ok(passed) => passed,
            Err(why) => {
                let what = format!("{}, held: {held}, without a death: {why}", role.name);
                results.lock().unwrap().failed.push(what);
                continue;
            }
        };
        for (point, passage) in passed {
            let death = Death {
                point,
                passage,
                held,
            };
            let outcome = attempt(|| die(role, death));
            let mut results = results.lock().unwrap();
            results.passed.insert(point);
            match outcome {
                Ok(outcome) => results.page.note(number, role, point, &outcome),
                Err(why) => {
                    let what = format!("{}, {point:?}:{passage}, held: {held}: {why}", role.name);
                    results.failed.push(what);
                }
            }
        }
    }
}

/// Returns what a closure does, or why it panics.
fn attempt<R>(what: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|why| {
        let text = why.downcast_ref::<&str>().map(|&why| why.to_owned());
        let text = text.or_else(|| why.downcast_ref::<String>().cloned());
        text.unwrap_or_default()
    })
}

/// Has a role play to its end, and returns what it passes.
fn live(role: &'static Role, held: bool) -> Vec<(KillPoint, u32)> {
    let mut all = Vec::new();
    for _ in 0..role.attempts {
        let mut scene = Scene::new(role, held);
        let passed = scene.play(None).expect("it ends");
        scene.aftermath();
        let new: Vec<_> = passed
            .into_iter()
            .filter(|one| !all.contains(one))
            .collect();
        all.extend(new);
    }
    all
}

/// Has a role die, and checks what it leaves behind.
fn die(role: &'static Role, death: Death) -> Outcome {
    let Death {
        point,
        passage,
        held,
    } = death;
    let mut slow = String::new();
    for _ in 0..SLOW_ATTEMPTS {
        let scene = (0..role.attempts).find_map(|_| {
            let mut scene = Scene::new(role, held);
            scene.play(Some((point, passage))).map(|_| scene)
        });
        let outcome = scene.expect("the victim comes to the point").aftermath();
        let Outcome { publish, woke, .. } = outcome;
        if publish.max(woke.unwrap_or_default()) < BOUND {
            return outcome;
        }
        slow = format!("another published after {publish:?}, sleepers went on after {woke:?}");
    }
    panic!("{slow}");
}

/// The memory of files that never got their name goes with their creators.
#[test]
fn the_memory_of_half_made_streams_is_given_back() {
    const DEATHS: u64 = 40;
    let role = ROLES.iter().find(|role| role.kind == Kind::Creator);
    let role = role.expect("a creator");
    let free = || {
        let room = rustix::fs::statvfs(directory()).unwrap();
        room.f_bfree * room.f_frsize
    };
    let before = free();
    for _ in 0..DEATHS {
        let mut scene = Scene::new(role, false);
        scene.play(Some((KillPoint::CreateMapped, 1))).unwrap();
        assert!(!scene.aftermath().named);
    }
    // 64 slots of two pages each.
    let made = DEATHS * 64 * 8192;
    eventually("memory is not lost", || free() + made / 2 > before);
}
