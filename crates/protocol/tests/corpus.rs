//! What the fuzz targets of the protocol have met before, on stable: each file of their corpus once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/bodies.rs"]
mod bodies;
#[path = "../../../fuzz/checks/frames.rs"]
mod frames;
#[path = "../../../fuzz/checks/prescan.rs"]
mod prescan;

use std::path::Path;

fn check_all(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in &files {
        println!("{}", path.display());
        check(&std::fs::read(path).unwrap());
    }
    println!("row R1: files of the corpus of {target} that panic nothing: {}, at least 20", files.len());
    assert!(files.len() >= 20, "{} files: the corpus of {target} is lost", files.len());
}

#[test]
fn the_corpus_of_frames_panics_nothing() {
    check_all("frames", frames::check);
}

#[test]
fn the_corpus_of_payloads_panics_nothing() {
    check_all("prescan", prescan::check);
}

#[test]
fn the_corpus_of_bodies_panics_nothing() {
    check_all("bodies", bodies::check);
}
