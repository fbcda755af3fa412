//! Outdoor objects and their materials: each function draws sizes and colours.

use std::f32::consts::TAU;

use super::material::{Material, Pattern, hsl};
use super::shape::{Crown, Shape, Vector, cuboid, prism};
use super::world::World;
use crate::rng::SceneRng;

/// Draws a ground cover: grass, meadow, soil, sand or snow.
pub(super) fn ground_cover(rng: &mut SceneRng) -> Material {
    let (hue, size) = (rng.uniform(0.18, 0.32), rng.log_uniform(0.3, 1.5));
    let green = hsl(hue, rng.uniform(0.35, 0.7), rng.uniform(0.35, 0.5));
    let dry = hsl(rng.uniform(0.1, 0.16), rng.uniform(0.3, 0.5), rng.uniform(0.45, 0.65));
    let (main, other) = match rng.index(10) {
        0..6 => (green, green * 0.6 + dry * 0.4),
        6..8 => (dry, dry * 0.5),
        8 => (hsl(0.08, 0.35, 0.4), hsl(0.07, 0.4, 0.3)),
        _ => (Vector::repeat(0.75), Vector::new(0.62, 0.68, 0.75)),
    };
    Material::new(Pattern::Rough, main, other, size, rng)
}

pub(super) fn foliage(rng: &mut SceneRng) -> Material {
    let autumn = rng.bernoulli(0.15);
    let hue = if autumn { rng.uniform(0.04, 0.14) } else { rng.uniform(0.2, 0.36) };
    let main = hsl(hue, rng.uniform(0.4, 0.75), rng.uniform(0.28, 0.46));
    Material::new(Pattern::Leaves, main, main * rng.uniform(0.35, 0.6), rng.uniform(0.5, 1.1), rng)
}

pub(super) fn stone(rng: &mut SceneRng) -> Vector {
    hsl(rng.uniform(0.02, 0.13), rng.uniform(0.02, 0.3), rng.uniform(0.45, 0.8))
}

pub(super) fn paint(rng: &mut SceneRng) -> Vector {
    hsl(rng.unit(), rng.uniform(0.1, 0.7), rng.uniform(0.3, 0.7))
}

pub(super) fn paving(rng: &mut SceneRng) -> Material {
    let (main, size) = (stone(rng), rng.log_uniform(0.3, 1.2));
    let pattern = rng.choose(&[Pattern::Tiles, Pattern::Bricks, Pattern::Checks, Pattern::Tiles]);
    Material::new(pattern, main, main * rng.uniform(0.5, 0.9), size, rng)
}

pub(super) fn wall(rng: &mut SceneRng) -> Material {
    let main = if rng.bernoulli(0.85) { stone(rng) } else { paint(rng) };
    let other = if rng.bernoulli(0.5) { Vector::repeat(0.7) } else { main * 0.5 };
    match rng.index(5) {
        0..3 => Material::new(Pattern::Facade, main, other, rng.uniform(2.6, 4.0), rng).glossy(0.1),
        3 => Material::new(Pattern::Bricks, hsl(0.03, 0.5, 0.42), hsl(0.05, 0.35, 0.6), rng.uniform(0.12, 0.3), rng),
        _ => Material::new(Pattern::Plain, main, main * 0.85, rng.uniform(0.5, 2.0), rng),
    }
}

pub(super) fn tree(world: &mut World, base: Vector, rng: &mut SceneRng, material: Material) {
    let conifer = rng.bernoulli(0.3);
    let high = rng.log_uniform(3.5, 12.0);
    let low = high * if conifer { rng.uniform(0.05, 0.15) } else { rng.uniform(0.15, 0.35) };
    let radius = high * if conifer { rng.uniform(0.18, 0.3) } else { rng.uniform(0.28, 0.45) };
    let crown = Crown { conifer, radius, low, high, trunk: high * 0.022 };
    let material = Material { seed: rng.noise_seed(), main: material.main * rng.uniform(0.75, 1.25), ..material };
    world.add(Shape::Tree { base, crown, seed: rng.noise_seed() }, material);
}

pub(super) fn bush(world: &mut World, base: Vector, rng: &mut SceneRng) {
    let high = rng.uniform(0.5, 1.8);
    let crown = Crown { conifer: false, radius: high * rng.uniform(0.6, 1.2), low: -0.3, high, trunk: 0.0 };
    let mut material = foliage(rng);
    material.size *= 0.4;
    world.add(Shape::Tree { base, crown, seed: rng.noise_seed() }, material);
}

pub(super) fn rock(world: &mut World, base: Vector, rng: &mut SceneRng) {
    let (main, radius) = (stone(rng) * 0.7, rng.log_uniform(0.3, 1.5));
    let material = Material::new(Pattern::Rough, main, main * 0.6, 0.5, rng);
    world.add(Shape::Sphere { centre: base + Vector::new(0.0, radius * rng.uniform(0.0, 0.4), 0.0), radius }, material);
}

pub(super) fn car(world: &mut World, base: Vector, yaw: f32, rng: &mut SceneRng) {
    let main = if rng.bernoulli(0.4) { Vector::repeat(rng.uniform(0.02, 0.7)) } else { paint(rng) };
    let body = Material::new(Pattern::Plain, main, main * 0.9, 1.0, rng).glossy(0.8);
    let glass = Material::new(Pattern::Plain, Vector::repeat(0.04), Vector::repeat(0.08), 1.0, rng).glossy(1.0);
    let rubber = Material::new(Pattern::Plain, Vector::repeat(0.02), Vector::repeat(0.03), 0.2, rng);
    let up = |y: f32| base + Vector::new(0.0, y, 0.0);
    world.add(cuboid(up(0.3), Vector::new(1.75, 0.6, 4.2), yaw), body);
    world.add(cuboid(up(0.9), Vector::new(1.5, 0.5, 2.1), yaw), glass);
    world.add(cuboid(up(1.38), Vector::new(1.5, 0.06, 1.9), yaw), body);
    world.add(cuboid(up(0.0), Vector::new(1.7, 0.4, 3.3), yaw), rubber);
}

pub(super) fn person(world: &mut World, base: Vector, rng: &mut SceneRng) {
    let cloth = |rng: &mut SceneRng| {
        let main = paint(rng) * 0.7;
        Material::new(rng.choose(&[Pattern::Plain, Pattern::Stripes, Pattern::Checks]), main, main * 0.5, 0.12, rng)
    };
    let (legs, coat) = (cloth(rng), cloth(rng));
    let skin = hsl(0.06, 0.4, rng.uniform(0.3, 0.75));
    let skin = Material::new(Pattern::Plain, skin, skin * 0.9, 0.2, rng);
    world.add(Shape::Cylinder { base, radius: 0.15, height: 0.85 }, legs);
    world.add(Shape::Cylinder { base: base + Vector::new(0.0, 0.85, 0.0), radius: 0.23, height: 0.6 }, coat);
    world.add(Shape::Sphere { centre: base + Vector::new(0.0, 1.6, 0.0), radius: 0.13 }, skin);
}

pub(super) fn lamp_post(world: &mut World, base: Vector, side: f32, rng: &mut SceneRng) {
    let metal = Vector::repeat(rng.uniform(0.03, 0.3));
    let metal = Material::new(Pattern::Plain, metal, metal * 0.8, 0.3, rng).glossy(0.3);
    let height = rng.uniform(4.5, 7.5);
    world.add(Shape::Cylinder { base, radius: 0.07, height }, metal);
    let arm = base + Vector::new(side * 0.6, height, 0.0);
    world.add(cuboid(arm, Vector::new(1.4, 0.1, 0.25), 0.0), metal);
}

pub(super) fn house(world: &mut World, base: Vector, rng: &mut SceneRng) {
    let size = Vector::new(rng.uniform(6.0, 11.0), rng.uniform(3.0, 6.0), rng.uniform(6.0, 10.0));
    let yaw = rng.choose(&[0.0, TAU / 4.0]) + rng.uniform(-0.4, 0.4);
    let body = wall(rng);
    world.add(cuboid(base, size, yaw), body);
    let slope = rng.uniform(0.5, 1.1);
    let tiles = hsl(rng.uniform(0.0, 0.08), rng.uniform(0.1, 0.6), rng.uniform(0.25, 0.5));
    let tiles = Material::new(Pattern::Roof, tiles, tiles * 0.6, rng.uniform(0.3, 0.5), rng);
    // The roof is slightly wider than the house and starts at its top.
    let roof = Vector::new(size.x + 0.8, (size.x + 0.8) * 0.5 * slope, size.z + 0.8);
    world.add(prism(base + Vector::new(0.0, size.y - 0.02, 0.0), roof, yaw, slope), tiles);
    if rng.bernoulli(0.6) {
        let chimney = base + Vector::new(size.x * 0.2, size.y, 0.0);
        let brick = Material::new(Pattern::Bricks, hsl(0.03, 0.5, 0.4), Vector::repeat(0.5), 0.15, rng);
        world.add(cuboid(chimney, Vector::new(0.7, roof.y + 0.7, 0.7), yaw), brick);
    }
}

pub(super) fn fence(world: &mut World, z: f32, rng: &mut SceneRng) {
    let wood = hsl(0.08, 0.4, rng.uniform(0.25, 0.7));
    let wood = Material::new(Pattern::Planks, wood, wood * 0.6, 0.15, rng);
    for post in -8..8 {
        world.add(cuboid(Vector::new(post as f32 * 2.0, 0.0, z), Vector::new(0.14, 1.2, 0.14), 0.0), wood);
    }
    for height in [0.45, 0.95] {
        world.add(cuboid(Vector::new(0.0, height, z), Vector::new(34.0, 0.12, 0.06), 0.0), wood);
    }
}
