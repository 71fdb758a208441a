//! Whether there is a GPU: each answer, over the stand-in driver, and none of them a panic.

use shmstream::gpu::{Availability, availability};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, PrivateDir, play, tell};

#[test]
fn child_entry() {
    play(&[("ask", ask)]);
}

fn ask(_: &[String]) {
    tell(match availability() {
        Availability::NoLibrary => String::from("no library"),
        Availability::MissingSymbol(function) => format!("missing {function}"),
        Availability::Driver { code, text } => {
            assert!(!text.is_empty());
            format!("driver {code}")
        }
        Availability::NoDevice => String::from("no device"),
        Availability::Ready {
            driver_version,
            devices,
        } => {
            assert!(*driver_version >= 11_000);
            format!("ready {devices}")
        }
        other => format!("{other:?}"),
    });
    tell(availability());
}

/// Starts a child that asks, and returns both of its lines.
fn answer(driver: &Driver, settings: &[(&str, &str)]) -> (String, String) {
    let mut command = Child::command("ask", &[]);
    driver.apply(&mut command);
    command.envs(settings.iter().copied());
    let child = Child::start(command);
    let lines = (child.line(), child.line());
    child.finish();
    lines
}

#[test]
fn without_a_library_it_says_what_to_install() {
    // A library that cannot be loaded hides the machine's own, if there is one.
    let directory = PrivateDir::new();
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::write(directory.path().join(name), "no library").unwrap();
    }
    let mut command = Child::command("ask", &[]);
    command.env("LD_LIBRARY_PATH", directory.path());
    let child = Child::start(command);
    child.expect("no library");
    assert!(child.line().contains("install NVIDIA's driver"));
    child.finish();
}

#[test]
fn a_missing_function_is_named() {
    let driver = Driver::without("cuIpcGetEventHandle");
    let (answer, words) = answer(&driver, &[]);
    assert_eq!(answer, "missing cuIpcGetEventHandle");
    assert!(words.contains("cuIpcGetEventHandle"), "{words}");
}

#[test]
fn a_driver_that_refuses_is_quoted() {
    let driver = Driver::stand_in();
    let (answer_999, words) = answer(&driver, &[("STANDIN_FAIL", "cuInit=999")]);
    assert_eq!(answer_999, "driver 999");
    assert!(words.contains("999"), "{words}");
    let (answer_34, words) = answer(&driver, &[("STANDIN_FAIL", "cuInit=34")]);
    assert_eq!(answer_34, "driver 34");
    assert!(words.contains("stub"), "{words}");
}

#[test]
fn no_device_names_the_variable() {
    let driver = Driver::stand_in();
    for setting in [("STANDIN_DEVICES", "0"), ("CUDA_VISIBLE_DEVICES", "")] {
        let (answer, words) = answer(&driver, &[setting]);
        assert_eq!(answer, "no device", "{setting:?}");
        assert!(words.contains("CUDA_VISIBLE_DEVICES"), "{words}");
    }
}

#[test]
fn devices_are_counted() {
    let driver = Driver::stand_in();
    let (answer, words) = answer(&driver, &[("STANDIN_DEVICES", "2")]);
    assert_eq!(answer, "ready 2");
    assert!(words.contains("2 devices"), "{words}");
}
