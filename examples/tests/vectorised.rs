//! The product of the control loop uses vector instructions where it is compiled for speed.

use std::path::Path;
use std::process::Command;

/// How vector instructions that multiply `f32`s look.
const MULTIPLY: &[&str] = if cfg!(target_arch = "x86_64") {
    &["mulps", "vmulps", "vfmadd"]
} else if cfg!(target_arch = "aarch64") {
    &[".4s, v"]
} else {
    &[]
};

#[test]
fn the_product_uses_vector_instructions() {
    if MULTIPLY.is_empty() {
        eprintln!("SKIPPED the_product_uses_vector_instructions: not for this architecture");
        return;
    }
    let directory = std::env::temp_dir().join(format!("shmstream-asm-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let assembly = assembly(&directory);
    let _ = std::fs::remove_dir_all(&directory);
    let count = |mnemonics: &[&str]| {
        let lines = assembly.lines().map(str::trim_start);
        lines
            .filter(|line| mnemonics.iter().any(|mnemonic| line.contains(mnemonic)))
            .count()
    };
    assert!(count(MULTIPLY) >= 8, "{assembly}");
    assert_eq!(count(&["mulss"]), 0, "{assembly}");
}

/// Compiles the product for the sizes of the example, as `--release` would.
fn assembly(directory: &Path) -> String {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("control_loop/product.rs");
    let program = format!(
        "#[path = {source:?}] mod product;
        #[inline(never)]
        pub fn commands(matrix: &[[f32; 2048]; 512], slopes: &[f32; 2048], result: &mut [f32; 512]) {{
            product::product(matrix, slopes, result);
        }}"
    );
    let (input, output) = (directory.join("lib.rs"), directory.join("lib.s"));
    std::fs::write(&input, program).unwrap();
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Command::new(compiler)
        .args([
            "--crate-type=lib",
            "--edition=2024",
            "-Copt-level=3",
            "--emit=asm",
            "-o",
        ])
        .args([&output, &input])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    std::fs::read_to_string(&output).unwrap()
}
