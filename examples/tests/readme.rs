//! The README shows the quickstart as it is, but for the line that says so.

#[test]
fn readme_shows_the_quickstart() {
    let readme = include_str!("../../shmstream/README.md");
    let (_, quickstart) = include_str!("../quickstart.rs").split_once("\n\n").unwrap();
    let block = readme
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    assert_eq!(block, Some(quickstart));
}
