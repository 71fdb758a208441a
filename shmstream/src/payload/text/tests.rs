use super::{Text, equal};

#[test]
fn joins_text_and_numbers() {
    let text = Text::new("a").number(0).text(" b").number(1040);
    assert_eq!(text.as_str(), "a0 b1040");
    assert_eq!(Text::new("").byte_count(1).as_str(), "1 byte");
    assert_eq!(Text::new("").byte_count(12).as_str(), "12 bytes");
}

#[test]
fn cuts_off_what_does_not_fit() {
    let long = "x".repeat(2000);
    assert_eq!(Text::new(&long).as_str(), &long[..Text::CAPACITY]);
    let two_bytes_each = Text::new("x").text(&"é".repeat(1000));
    assert!(two_bytes_each.as_str().starts_with("the layout"));
}

#[test]
fn compares() {
    assert!(equal("gain", "gain"));
    assert!(!equal("gain", "gait"));
    assert!(!equal("gain", "gains"));
}
