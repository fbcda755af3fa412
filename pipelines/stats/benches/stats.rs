//! Benchmarks of the measures over 100,000 rows, the size of one algorithm's outputs on a large data set.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dqa_stats::{Columns, Resampling, estimate_agreement, fit_logistics, krcc, srcc};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROWS: usize = 100_000;
const SCENES: u32 = 20_000;

fn stats(criterion: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let score: Vec<f64> = (0..ROWS).map(|_| rng.random()).collect();
    // Labels take some 200 values, as mean opinions of a few raters do.
    let mos: Vec<f64> = score.iter().map(|score| (100.0 * (score + rng.random::<f64>())).floor()).collect();
    let scene: Vec<u32> = (0..ROWS as u32).map(|row| row % SCENES).collect();
    let columns = Columns { score: &score, mos: &mos, scene: &scene };

    let mut group = criterion.benchmark_group("stats_100k");
    group.sample_size(10);
    group.bench_function("srcc", |bench| bench.iter(|| srcc(black_box(&score), &mos)));
    group.bench_function("krcc", |bench| bench.iter(|| krcc(black_box(&score), &mos)));
    group.bench_function("fits", |bench| bench.iter(|| fit_logistics(black_box(&score), &mos)));
    group.bench_function("intervals", |bench| {
        bench.iter(|| estimate_agreement(&black_box(columns).sorted(), &Resampling::Jackknife { level: 0.95 }))
    });
    group.finish();
}

criterion_group!(benches, stats);
criterion_main!(benches);
