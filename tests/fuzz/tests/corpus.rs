//! Every input that was worth keeping, once more: those that reach code that no other reaches, and those that found a
//! fault. Needs no libFuzzer.

use std::fs;
use std::time::{Duration, Instant};

use camlane_fuzz::{TARGETS, corpus, target};
use rstest::rstest;

#[rstest]
fn nothing_in_the_corpus_breaks_it(
    #[values(
        "header", "region", "consumer", "producer", "model", "stream", "meta", "broker", "client", "legacy",
        "convert", "image", "source", "command"
    )]
    name: &str,
) {
    let run = target(name).unwrap();
    let inputs = corpus::of(name);
    assert!(inputs.len() >= 20, "{} inputs: where is the corpus?", inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        let began = Instant::now();
        eprintln!("input {} of {name}", index + 1); // shown if it fails
        run(input);
        assert!(began.elapsed() < Duration::from_secs(60), "it hangs");
    }
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let files = fs::read_dir(corpus::folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    files.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(files, targets);
}
