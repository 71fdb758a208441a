//! What the compiler says of mistakes with streams on a GPU.
//!
//! After a change of the messages run with `TRYBUILD=overwrite` and read what it wrote.

#[test]
fn messages() {
    trybuild::TestCases::new().compile_fail("ui-cuda/*.rs");
}
