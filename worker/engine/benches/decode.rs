//! What a decode thread does to one picture: decode it, and make its global view.

use std::hint::black_box;
use std::io::Cursor;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dqa_engine::decode::{Limits, decode};
use dqa_model::whole_view;

/// The model's input side.
const SIDE: u32 = 224;

fn decode_and_view(criterion: &mut Criterion) {
    for (size, width, height) in [("vga", 640, 480), ("1080p", 1920, 1080)] {
        let image = haze(width, height);
        let mut group = criterion.benchmark_group(size);
        group.throughput(Throughput::Elements(1));
        for (format, bytes) in [("png", png(&image)), ("jpeg", jpeg(&image))] {
            group.bench_function(format, |bencher| {
                bencher.iter(|| {
                    let picture = decode(black_box(&bytes), &Limits::default()).expect("made right here");
                    whole_view(&picture, SIDE)
                });
            });
        }
        group.finish();
    }
}

/// Smooth colours with a little noise: neither flat nor incompressible.
fn haze(width: u32, height: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 28;
        let slope = |a: u32, b: u32| ((a * x / width + b * y / height) + noise) as u8;
        image::Rgb([slope(120, 100), slope(60, 150), slope(20, 200)])
    })
}

fn png(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("memory can be written to");
    bytes.into_inner()
}

fn jpeg(image: &image::RgbImage) -> Vec<u8> {
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(image.width() as usize, image.height() as usize);
    encoder.set_quality(90.0);
    let mut started = encoder.start_compress(Vec::new()).expect("memory can be written to");
    started.write_scanlines(image.as_raw()).expect("memory can be written to");
    started.finish().expect("memory can be written to")
}

criterion_group!(benches, decode_and_view);
criterion_main!(benches);
