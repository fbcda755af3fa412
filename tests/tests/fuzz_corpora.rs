//! Runs the fuzzers' targets over the corpora that are kept, and over mutations of them: what a fuzzer found once stays
//! mended. `DQA_FUZZ_SECONDS=600` mutates for longer, from another seed each time.

#![allow(clippy::unwrap_used)] // helpers too

#[allow(unreachable_pub)] // the library of another workspace
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Mutations of each input, unless there is more time.
const MUTATIONS: usize = 30;

/// Numbers that lengths and offsets of files break at.
const NUMBERS: [u32; 8] = [0, 1, 0x7f, 0x80, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];

fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Runs a target. An input that fails is kept in a file, also if the process ends with it.
fn run((name, target): fuzz::Target, input: &[u8]) {
    let thread = std::thread::current();
    let kept = format!("dqa-fuzz-{name}-{}-{}", std::process::id(), thread.name().unwrap());
    let kept = std::env::temp_dir().join(kept);
    std::fs::write(&kept, input).unwrap();
    let outcome = std::panic::catch_unwind(|| target(input));
    assert!(outcome.is_ok(), "the target {name} fails with {}", kept.display());
    std::fs::remove_file(&kept).unwrap();
}

/// A generator of numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    fn mutate(&mut self, input: &mut Vec<u8>, others: &[Vec<u8>]) {
        let offset = self.below(input.len());
        let end = (offset + 1 + self.below(16)).min(input.len());
        match self.below(7) {
            0 => input.truncate(offset),
            1 if offset < input.len() => input[offset] ^= 1 << self.below(8),
            2 if offset < input.len() => input[offset] = self.below(256) as u8,
            3 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                let bytes = if self.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let end = (offset + 4).min(input.len());
                input[offset..end].copy_from_slice(&bytes[..end - offset]);
            }
            4 => {
                input.drain(offset..end);
            }
            5 => {
                let copied = input[offset..end].to_vec();
                input.splice(offset..offset, copied);
            }
            _ => {
                let other = &others[self.below(others.len())];
                input.truncate(offset);
                input.extend(&other[self.below(other.len())..]);
            }
        }
    }
}

#[test]
fn kept_inputs_are_values_or_errors() {
    for target in fuzz::TARGETS {
        inputs(target.0).iter().for_each(|input| run(target, input));
    }
}

#[test]
fn mutated_inputs_are_values_or_errors() {
    let seconds = std::env::var("DQA_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    let seed = match seconds {
        None => 1,
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 | 1,
    };
    let (mut random, mut runs, started) = (Random(seed), 0_u64, Instant::now());
    let share = seconds.map(|seconds: u64| Duration::from_secs(seconds) / fuzz::TARGETS.len() as u32);
    for (number, target) in (1..).zip(fuzz::TARGETS) {
        let inputs = inputs(target.0);
        let mut rounds = 0;
        while share.map_or(rounds < MUTATIONS, |share| started.elapsed() < share * number) {
            for input in &inputs {
                let mut mutated = input.clone();
                for _ in 0..=random.below(4) {
                    random.mutate(&mut mutated, &inputs);
                }
                run(target, &mutated);
                runs += 1;
            }
            rounds += 1;
        }
    }
    eprintln!("seed {seed}: {runs} mutated inputs of {} targets", fuzz::TARGETS.len());
}
