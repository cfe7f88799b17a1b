//! Every input that was worth keeping, once more: those that reach code that no other reaches, and those that found a
//! fault; and two seconds of chance. Needs no libFuzzer.

use std::fs;
use std::time::{Duration, Instant};

use camlane_fuzz::{TARGETS, corpus, target};
use camlane_tests::raw::Dice;
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
    // What reaches all code need not reach all states: some inputs by chance, the same in every run as far as it comes.
    let (mut dice, began) = (Dice(1), Instant::now());
    for turn in 0..20_000 {
        if began.elapsed() > Duration::from_secs(2) {
            break;
        }
        let len = dice.next().unwrap_or(0) as usize % 400;
        let input: Vec<u8> = dice.by_ref().take(len).map(|number| number as u8).collect();
        if turn % 100 == 0 {
            eprintln!("chance {turn} of {name}");
        }
        run(&input);
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
