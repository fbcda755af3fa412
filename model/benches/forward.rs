//! Benchmarks windows through [`Batcher`], from pixels to scores, without decoding and loading. Throughput is in
//! windows.
//!
//! `cargo bench -p dqa-model --bench forward`; add `-- tiny` or another part of a name to run some of the benchmarks.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use dqa_model::{Arithmetic, Batcher, ClipWeights, KernelSet, Options, Prepared, PromptMode, Prompts, Rgb8, Scorer};
use dqa_testkit::{Picture, hf};

/// 12 windows at the paper's stride: 1 s of ViT-B/32 on two cores, so that the whole benchmark takes a minute.
const SIZE: (usize, usize) = (416, 352);
/// All windows of the picture.
const BATCH: usize = 12;

struct Case {
    name: &'static str,
    arithmetic: Arithmetic,
    kernels: KernelSet,
}

const CASES: [Case; 3] = [
    Case { name: "f32", arithmetic: Arithmetic::F32, kernels: KernelSet::Native },
    Case { name: "bf16", arithmetic: Arithmetic::Bf16, kernels: KernelSet::Native },
    Case { name: "f32-candle", arithmetic: Arithmetic::F32, kernels: KernelSet::Candle },
];

fn scorer(kind: &str, case: &Case) -> Arc<Scorer> {
    let dir = hf::cached(kind, "golden");
    let weights = ClipWeights::open(&dir).expect("the testkit writes what the model reads");
    let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).expect("as the weights");
    let options = Options { arithmetic: case.arithmetic, kernels: case.kernels, ..Options::default() };
    Arc::new(Scorer::new(&weights, &PromptMode::Learned(prompts), &options).expect("the model is whole"))
}

fn forward(c: &mut Criterion, kind: &str, seconds: u64) {
    let mut group = c.benchmark_group(kind);
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(seconds));
    for case in &CASES {
        let scorer = scorer(kind, case);
        let pixels = Picture::synthetic(1, SIZE.0, SIZE.1).rgb;
        let picture = Rgb8::new(SIZE.0 as u32, SIZE.1 as u32, pixels);
        let prepared = Prepared::new(picture, scorer.views()).expect("the picture has windows");
        group.throughput(Throughput::Elements(prepared.windows() as u64));
        group.bench_function(BenchmarkId::from_parameter(case.name), |b| {
            b.iter(|| {
                let mut batcher = Batcher::new(scorer.clone(), BATCH).expect("the CPU has memory for a batch");
                batcher.push((), &prepared).expect("the CPU has memory for a batch");
                batcher.flush().expect("as above");
                batcher.pop().expect("one picture is done")
            });
        });
    }
    group.finish();
}

fn vit_b_32(c: &mut Criterion) {
    forward(c, "vit-b-32", 8);
}

fn tiny(c: &mut Criterion) {
    forward(c, "tiny", 2);
}

criterion_group!(benches, vit_b_32, tiny);
criterion_main!(benches);
