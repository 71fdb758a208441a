//! How the memory is shared, by what the driver and the system can do.

use shmstream::Error;
use shmstream::cuda::CudaStream;
use shmstream::gpu::{Problem, Sharing};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Name, argument, tell};

use super::support::{LEN, child, child_with, context, log_of};
use super::{ask, device, end, physical, serve, started};

#[test]
fn without_descriptors_the_memory_is_shared_by_handle() {
    let name = Name::new("cuda-memory-fallback");
    let whole = Driver::stand_in();
    let mut cases: Vec<(&Driver, &str, String)> = [
        "cuMemGetAllocationGranularity",
        "cuMemCreate",
        "cuMemExportToShareableHandle",
        "cuMemImportFromShareableHandle",
        "cuMemAddressReserve",
        "cuMemMap",
        "cuMemSetAccess",
        "cuDeviceGetAttribute:2",
    ]
    .iter()
    .map(|call| (&whole, "STANDIN_FAIL", format!("{call}=801")))
    .collect();
    for lacking in ["102=0", "103=0"] {
        cases.push((&whole, "STANDIN_ATTRIBUTES", String::from(lacking)));
    }
    let old = Driver::without("cuMemCreate");
    cases.push((&old, "STANDIN_FAIL", String::new()));
    for (driver, key, setting) in cases {
        // What cudarc asks for itself comes before.
        let log = log_of(&name);
        let settings = [
            (key, setting.clone()),
            ("STANDIN_LOG", log.path().display().to_string()),
        ];
        let mut creator = child_with(driver, &settings, "fall_back", &[&name]);
        creator.expect("ready");
        let info = device(&name);
        assert_eq!(
            (info.sharing, info.shared),
            (Sharing::Handle, true),
            "{setting}"
        );
        assert!(info.to_string().contains("by memory handle"), "{info}");
        ask(&mut creator, "write", "wrote 1");
        let mut second = started(&whole, "open", &name);
        ask(&mut second, "read", "frame 1");
        drop(second);
        end(creator);
        // Nothing of the attempts is left.
        let calls = log.calls_until("");
        let times = |call: &str| calls.iter().filter(|each| *each == call).count();
        assert!(times("cuMemRelease") >= times("cuMemExportToShareableHandle"));
        assert!(times("cuMemAddressFree") <= times("cuMemAddressReserve"));
        shmstream::unlink(&name).unwrap();
    }
}

/// Is refused a stream that is shared by descriptors, and serves one that need not be.
pub(super) fn fall_back(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let builder = CudaStream::<i64>::builder(&name).sharing(Sharing::Descriptor);
    let Err(Error::Gpu { problem, .. }) = builder.create(&[LEN], &context) else {
        panic!("shared by descriptors");
    };
    assert!(
        matches!(problem, Problem::NoDescriptors { .. }),
        "{problem}"
    );
    assert!(problem.to_string().contains("Sharing::Handle"), "{problem}");
    assert_eq!(
        physical(),
        (0, 0),
        "descriptors and mappings of what was tried"
    );
    serve(CudaStream::<i64>::create(&name, &[LEN], &context).unwrap());
}

#[test]
fn by_event_the_memory_is_shared_by_handle() {
    let name = Name::new("cuda-memory-event");
    let driver = Driver::new();
    let creator = started(&driver, "by_event", &name);
    let info = device(&name);
    assert_eq!((info.sharing, info.shared), (Sharing::Handle, true));
    end(creator);
}

pub(super) fn by_event(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let builder = || CudaStream::<i64>::builder(&name).events();
    let refused = builder()
        .sharing(Sharing::Descriptor)
        .create(&[LEN], &context);
    let Err(error @ Error::Invalid { .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("by event"), "{error}");
    serve(builder().create(&[LEN], &context).unwrap());
}

/// By handle is for where there are no descriptors, and not for what goes wrong besides.
#[test]
fn what_would_go_wrong_by_handle_as_well_is_told() {
    let name = Name::new("cuda-memory-wrong");
    let driver = Driver::stand_in();
    for (setting, told) in [
        ("cuMemCreate=2", "allocate memory"),
        ("cuMemMap=2", "map memory"),
        ("cuMemCreate=lost", "ContextLost"),
    ] {
        let settings = [("STANDIN_FAIL", String::from(setting))];
        let refused = child_with(&driver, &settings, "create_or", &[&name]);
        refused.expect(told);
        refused.finish();
        assert!(!name.path().exists(), "{setting}");
    }
    // And whoever opens a stream is told which call was refused.
    let _creator = started(&driver, "create", &name);
    for (call, told) in [
        (
            "cuMemImportFromShareableHandle",
            "open memory by its descriptor",
        ),
        ("cuMemAddressReserve", "reserve addresses for memory"),
        ("cuMemMap", "map memory"),
        ("cuMemSetAccess", "have the device use mapped memory"),
    ] {
        let settings = [("STANDIN_FAIL", format!("{call}=801"))];
        let refused = child_with(&driver, &settings, "open", &[&name]);
        let problem = refused.line();
        assert!(
            problem.starts_with("Driver") && problem.contains(told),
            "{problem}"
        );
        refused.finish();
    }
}

/// Tells why the stream cannot be created.
pub(super) fn create_or(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::create(&name, &[LEN], &context()) {
        Err(Error::Gpu { problem, .. }) => match problem {
            Problem::Driver { operation, .. } => tell(operation),
            Problem::ContextLost { .. } => tell("ContextLost"),
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lack_of_files_is_told_as_such() {
    let name = Name::new("cuda-memory-files");
    let own = Name::new("cuda-memory-files-own");
    let driver = Driver::stand_in();
    let _creator = started(&driver, "create", &name);
    child(&driver, "short_of_files", &[&name, &own]).finish();
}

/// Opens and creates with few descriptors left, from none on.
pub(super) fn short_of_files(arguments: &[String]) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (name, own): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let limit = Rlimit {
        current: Some(64),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoarded = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoarded.push(file);
    }
    let mut limits = 0;
    let mut check = |refused: Error| match refused {
        Error::Limit { limit, .. } if limit.contains("ulimit -n") => limits += 1,
        // The stand-in needs some itself.
        Error::Gpu {
            problem: Problem::Driver { code: 2, .. },
            ..
        } => {}
        other => panic!("{other}"),
    };
    let (mut opened, mut created) = (false, false);
    while !(opened && created) {
        match CudaStream::<i64>::open(&name, &context) {
            Ok(_) => opened = true,
            Err(error) => check(error),
        }
        match CudaStream::<i64>::create(&own, &[LEN], &context) {
            Ok(stream) => {
                let info = stream.status().unwrap().device.unwrap();
                assert_eq!(info.sharing, Sharing::Descriptor);
                stream.unlink().unwrap();
                created = true;
            }
            Err(error) => check(error),
        }
        hoarded.pop().expect("enough descriptors");
    }
    assert!(limits > 5, "{limits}");
}

#[test]
fn without_sockets_the_memory_is_shared_by_handle() {
    let name = Name::new("cuda-memory-sockets");
    let driver = Driver::stand_in();
    let creator = started(&driver, "without_sockets", &name);
    assert_eq!(device(&name).sharing, Sharing::Handle);
    end(creator);
}

/// Creates a stream where a sandbox forbids sockets.
pub(super) fn without_sockets(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    forbid_sockets();
    let builder = CudaStream::<i64>::builder(&name).sharing(Sharing::Descriptor);
    match builder.create(&[LEN], &context) {
        Err(Error::Gpu {
            problem: problem @ Problem::NoDescriptors { .. },
            ..
        }) => assert!(problem.to_string().contains("make a socket"), "{problem}"),
        other => panic!("{other:?}"),
    }
    serve(CudaStream::<i64>::create(&name, &[LEN], &context).unwrap());
}

/// Has the kernel refuse sockets to this thread from now on.
fn forbid_sockets() {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // Load the number of the system call; is it this one; refuse it; else allow it.
    let socket = u32::try_from(libc::SYS_socket).unwrap();
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EACCES).unwrap();
    let mut steps = [
        step(0x20, 0, 0, 0),
        step(0x15, 0, 1, socket),
        step(0x06, 0, 0, refuse),
        step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: `prctl` with this asks for numbers alone.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0);
    // SAFETY: with this it reads a program of as many steps as that says, which outlive the call.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn others_on_the_bus_may_reach_the_memory_where_that_is_possible() {
    let name = Name::new("cuda-memory-bus");
    let driver = Driver::stand_in();
    for (key, setting, reachable) in [
        ("STANDIN_ATTRIBUTES", "110=1", true),
        ("STANDIN_ATTRIBUTES", "110=0", false),
        // An old driver does not know the attribute, the third behind the one that cudarc asks for.
        ("STANDIN_FAIL", "cuDeviceGetAttribute:4-4=1", false),
    ] {
        let settings = [(key, setting.to_owned())];
        let creator = child_with(&driver, &settings, "reachable", &[&name]);
        creator.expect(&reachable.to_string());
        creator.finish();
    }
}

pub(super) fn reachable(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap();
    assert_eq!(physical().1, 1);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    tell(maps.contains("stand-in physical 0 reachable"));
    stream.unlink().unwrap();
}
