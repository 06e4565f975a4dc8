//! Compiles `src/control.proto` with a compiler written in Rust, so that no `protoc` need be installed.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/control.proto");
    let descriptors = protox::compile(["src/control.proto"], ["src"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
