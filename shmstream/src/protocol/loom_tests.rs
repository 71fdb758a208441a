//! Models of the protocol, and for each label a weakened one that must fail.
//!
//! `RUSTFLAGS="--cfg shmstream_loom" cargo test -p shmstream --release --lib loom`
//!
//! Both roles run on spawned threads, since loom explores less of the thread that runs the model.
//! Where pins and claims keep each other out, the payload is loom's `UnsafeCell`, so a read and a
//! write that overlap fail by themselves; where a copy is checked afterwards, it is atomic words.
//! `LOOM_MAX_PREEMPTIONS` sets how often a thread may be interrupted; without it, [`PREEMPTIONS`].

mod block;
mod in_order;
mod latest;
mod observer;
mod sleep;

use std::process::Command;

use crate::sync::{Label, weaken};

/// Enough for every weakened model to fail.
const PREEMPTIONS: usize = 3;

/// Names the label to weaken in a child process.
const WEAKEN: &str = "SHMSTREAM_WEAKEN";

fn holds(model: fn()) {
    if let Ok(name) = std::env::var(WEAKEN) {
        let label = Label::ALL
            .into_iter()
            .find(|label| format!("{label:?}") == name);
        weaken(Some(label.expect("a label")));
    }
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(model);
}

/// Runs a model's test in a process of its own, since loom aborts where it finds a deadlock.
fn fails_without(label: Label, test: &str) {
    let test = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test])
        .env(WEAKEN, format!("{label:?}"))
        .output()
        .unwrap();
    let output = [child.stdout, child.stderr].concat();
    let output = String::from_utf8_lossy(&output);
    assert!(
        output.contains("running 1 test"),
        "{test} did not run:\n{output}"
    );
    assert!(
        !child.status.success(),
        "{test} holds although {label:?} is weakened"
    );
    // That would prove a loop that waits for another thread, and nothing about the ordering.
    assert!(
        !output.contains("exceeded maximum number of branches"),
        "{test} ran on endlessly:\n{output}"
    );
}

macro_rules! models {
    ($($test:ident: $module:ident::$model:ident;)*) => {
        $(
            #[test]
            fn $test() {
                holds($module::$model);
            }
        )*
    };
}

models! {
    loom_pin_against_publish: latest::pin_against_publish;
    loom_attach_against_publish: latest::attach_against_publish;
    loom_late_reader: latest::late_reader;
    loom_hand_over_after_a_death: latest::hand_over_after_a_death;
    loom_register_against_publish: in_order::register_against_publish;
    loom_read_on_against_publish: in_order::read_on_against_publish;
    loom_late_look: in_order::late_look;
    loom_history_against_publish: in_order::history_against_publish;
    loom_dead_subscriber: in_order::dead_subscriber;
    loom_death_behind_the_mark: in_order::death_behind_the_mark;
    loom_death_in_the_middle: in_order::death_in_the_middle;
    loom_copy_against_publish: observer::copy_against_publish;
    loom_no_lost_wake_up: sleep::no_lost_wake_up;
    loom_no_lost_slot: sleep::no_lost_slot;
    loom_no_lost_announcement: sleep::no_lost_announcement;
}

macro_rules! weakened {
    ($($test:ident: $label:ident in $model:ident;)*) => {
        $(
            #[test]
            fn $test() {
                fails_without(Label::$label, stringify!($model));
            }
        )*

        #[test]
        fn loom_every_label_is_weakened() {
            for label in Label::ALL {
                assert!([$(Label::$label),*].contains(&label), "{label:?} is not");
            }
        }
    };
}

weakened! {
    loom_weakened_claim: Claim in loom_pin_against_publish;
    loom_weakened_scan: Scan in loom_pin_against_publish;
    loom_weakened_publish: Publish in loom_pin_against_publish;
    loom_weakened_publish_for_a_sleeper: Publish in loom_no_lost_wake_up;
    loom_weakened_observe: Observe in loom_pin_against_publish;
    loom_weakened_observe_without_a_pin: Observe in loom_copy_against_publish;
    loom_weakened_pin: Pin in loom_pin_against_publish;
    loom_weakened_validate: Validate in loom_pin_against_publish;
    loom_weakened_unpin: Unpin in loom_pin_against_publish;
    loom_weakened_attach: Attach in loom_attach_against_publish;
    loom_weakened_arm: Arm in loom_no_lost_wake_up;
    loom_weakened_fire: Fire in loom_no_lost_wake_up;
    loom_weakened_recheck: Recheck in loom_no_lost_wake_up;
    loom_weakened_await: Await in loom_no_lost_slot;
    loom_weakened_await_of_a_beginner: Await in loom_register_against_publish;
    loom_weakened_recheck_of_a_beginner: Recheck in loom_register_against_publish;
    loom_weakened_disturb: Disturb in loom_copy_against_publish;
    loom_weakened_check: Check in loom_copy_against_publish;
    loom_weakened_announce: Announce in loom_no_lost_announcement;
    loom_weakened_glance: Glance in loom_no_lost_announcement;
}
