//! What the compiler says of mistakes, and that it says nothing of what is right.
//!
//! After a change of the messages run with `TRYBUILD=overwrite` and read what it wrote.

#[test]
fn messages() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/*.rs");
}
