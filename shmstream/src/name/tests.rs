use proptest::prelude::*;

use super::*;

#[test]
fn refuses_what_cannot_be_a_name() {
    for (name, reason) in [
        ("", "empty"),
        (".", "directories"),
        ("..", "directories"),
        ("a\0b", "NUL"),
        (&"a".repeat(246), "246 bytes"),
        (&"/".repeat(82), "246 bytes"),
    ] {
        let error = StreamName::new(name).unwrap_err().to_string();
        assert!(error.contains(reason), "{name:?}: {error}");
    }
    assert!(StreamName::new("a".repeat(245)).is_ok());
    assert!(StreamName::new("/".repeat(81)).is_ok());
    assert!(StreamName::new("...").is_ok());
}

#[test]
fn knows_only_its_own_spelling() {
    let known = |file_name: &str| StreamName::from_file_name(OsStr::new(file_name));
    assert_eq!(known("shmstream.a%2Fb").unwrap().as_bytes(), b"a/b");
    for other in [
        "shmstream.a%2fb",
        "shmstream.%61",
        "shmstream.%",
        "shmstream.%2",
        "shmstream.%+1",
        "shmstream.",
        "shmstream",
        "other.a",
        "shmstream.a b",
    ] {
        assert_eq!(known(other), None, "{other}");
    }
}

#[test]
fn shows_odd_bytes_escaped() {
    let name = StreamName::new(b"a\xff\n\xc3\xa9").unwrap();
    assert_eq!(name.to_string(), "a\\xff\\n\u{e9}");
}

#[cfg(feature = "serde")]
#[test]
fn serde_reads_every_name_back() {
    for (name, json) in [
        (&b"camera/left"[..], r#""camera/left""#),
        (b"gr\xc3\xbc\n", "\"gr\u{fc}\\n\""),
        (b"load 50%", r#""load 50%""#),
        (b"50%a%zz", r#""50%a%zz""#),
        (b"a%2Fb", r#""a%252Fb""#),
        (b"a\xffb", r#""a%FFb""#),
        (b"%\xff%4\xff", r#""%%FF%4%FF""#),
    ] {
        let name = StreamName::new(name).unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), json);
        assert_eq!(serde_json::from_str::<StreamName>(json).unwrap(), name);
    }
    let error = serde_json::from_str::<StreamName>(r#""..""#).unwrap_err();
    assert!(error.to_string().contains("name directories"), "{error}");
}

proptest! {
    #[cfg(feature = "serde")]
    #[test]
    fn any_valid_name_survives_serde(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'%'), b'0'..=b'9'], 1..40),
    ) {
        if let Ok(name) = StreamName::new(&bytes) {
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<StreamName>(&json).unwrap(), name);
        }
    }

    #[test]
    fn any_valid_name_survives_its_file_name(bytes in proptest::collection::vec(any::<u8>(), 1..80)) {
        if let Ok(name) = StreamName::new(&bytes) {
            let file_name = name.file_name();
            prop_assert!(file_name.len() <= NAME_MAX);
            prop_assert_eq!(StreamName::from_file_name(OsStr::new(&file_name)), Some(name));
        }
    }
}
