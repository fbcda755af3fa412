//! What stands outdoors, and what it is made of: each draws its own size and colours.

use std::f32::consts::TAU;

use super::World;
use super::materials::{Material, Pattern, hsl};
use super::shapes::{Crown, Shape, Vector, cuboid, prism};
use crate::random::Stream;

/// Grass, meadow, soil, sand or snow.
pub(super) fn growth(random: &mut Stream) -> Material {
    let (hue, size) = (random.between(0.18, 0.32), random.log_between(0.3, 1.5));
    let green = hsl(hue, random.between(0.35, 0.7), random.between(0.35, 0.5));
    let dry = hsl(random.between(0.1, 0.16), random.between(0.3, 0.5), random.between(0.45, 0.65));
    let (main, other) = match random.below(10) {
        0..6 => (green, green * 0.6 + dry * 0.4),
        6..8 => (dry, dry * 0.5),
        8 => (hsl(0.08, 0.35, 0.4), hsl(0.07, 0.4, 0.3)),
        _ => (Vector::repeat(0.75), Vector::new(0.62, 0.68, 0.75)),
    };
    Material::new(Pattern::Rough, main, other, size, random)
}

pub(super) fn foliage(random: &mut Stream) -> Material {
    let autumn = random.chance(0.15);
    let hue = if autumn { random.between(0.04, 0.14) } else { random.between(0.2, 0.36) };
    let main = hsl(hue, random.between(0.4, 0.75), random.between(0.28, 0.46));
    Material::new(Pattern::Leaves, main, main * random.between(0.35, 0.6), random.between(0.5, 1.1), random)
}

pub(super) fn stone(random: &mut Stream) -> Vector {
    hsl(random.between(0.02, 0.13), random.between(0.02, 0.3), random.between(0.45, 0.8))
}

pub(super) fn paint(random: &mut Stream) -> Vector {
    hsl(random.unit(), random.between(0.1, 0.7), random.between(0.3, 0.7))
}

pub(super) fn paving(random: &mut Stream) -> Material {
    let (main, size) = (stone(random), random.log_between(0.3, 1.2));
    let pattern = random.pick(&[Pattern::Tiles, Pattern::Bricks, Pattern::Checks, Pattern::Tiles]);
    Material::new(pattern, main, main * random.between(0.5, 0.9), size, random)
}

pub(super) fn wall(random: &mut Stream) -> Material {
    let main = if random.chance(0.85) { stone(random) } else { paint(random) };
    let other = if random.chance(0.5) { Vector::repeat(0.7) } else { main * 0.5 };
    match random.below(5) {
        0..3 => Material::new(Pattern::Facade, main, other, random.between(2.6, 4.0), random).glossy(0.1),
        3 => Material::new(
            Pattern::Bricks,
            hsl(0.03, 0.5, 0.42),
            hsl(0.05, 0.35, 0.6),
            random.between(0.12, 0.3),
            random,
        ),
        _ => Material::new(Pattern::Plain, main, main * 0.85, random.between(0.5, 2.0), random),
    }
}

pub(super) fn tree(world: &mut World, base: Vector, random: &mut Stream, material: Material) {
    let conifer = random.chance(0.3);
    let high = random.log_between(3.5, 12.0);
    let low = high * if conifer { random.between(0.05, 0.15) } else { random.between(0.15, 0.35) };
    let radius = high * if conifer { random.between(0.18, 0.3) } else { random.between(0.28, 0.45) };
    let crown = Crown { conifer, radius, low, high, trunk: high * 0.022 };
    let material = Material { seed: random.seed(), main: material.main * random.between(0.75, 1.25), ..material };
    world.add(Shape::Tree { base, crown, seed: random.seed() }, material);
}

pub(super) fn bush(world: &mut World, base: Vector, random: &mut Stream) {
    let high = random.between(0.5, 1.8);
    let crown = Crown { conifer: false, radius: high * random.between(0.6, 1.2), low: -0.3, high, trunk: 0.0 };
    let mut material = foliage(random);
    material.size *= 0.4;
    world.add(Shape::Tree { base, crown, seed: random.seed() }, material);
}

pub(super) fn rock(world: &mut World, base: Vector, random: &mut Stream) {
    let (main, radius) = (stone(random) * 0.7, random.log_between(0.3, 1.5));
    let material = Material::new(Pattern::Rough, main, main * 0.6, 0.5, random);
    world.add(
        Shape::Sphere { centre: base + Vector::new(0.0, radius * random.between(0.0, 0.4), 0.0), radius },
        material,
    );
}

pub(super) fn car(world: &mut World, base: Vector, yaw: f32, random: &mut Stream) {
    let main = if random.chance(0.4) { Vector::repeat(random.between(0.02, 0.7)) } else { paint(random) };
    let body = Material::new(Pattern::Plain, main, main * 0.9, 1.0, random).glossy(0.8);
    let glass = Material::new(Pattern::Plain, Vector::repeat(0.04), Vector::repeat(0.08), 1.0, random).glossy(1.0);
    let rubber = Material::new(Pattern::Plain, Vector::repeat(0.02), Vector::repeat(0.03), 0.2, random);
    let up = |y: f32| base + Vector::new(0.0, y, 0.0);
    world.add(cuboid(up(0.3), Vector::new(1.75, 0.6, 4.2), yaw), body);
    world.add(cuboid(up(0.9), Vector::new(1.5, 0.5, 2.1), yaw), glass);
    world.add(cuboid(up(1.38), Vector::new(1.5, 0.06, 1.9), yaw), body);
    world.add(cuboid(up(0.0), Vector::new(1.7, 0.4, 3.3), yaw), rubber);
}

pub(super) fn person(world: &mut World, base: Vector, random: &mut Stream) {
    let cloth = |random: &mut Stream| {
        let main = paint(random) * 0.7;
        Material::new(random.pick(&[Pattern::Plain, Pattern::Stripes, Pattern::Checks]), main, main * 0.5, 0.12, random)
    };
    let (legs, coat) = (cloth(random), cloth(random));
    let skin = hsl(0.06, 0.4, random.between(0.3, 0.75));
    let skin = Material::new(Pattern::Plain, skin, skin * 0.9, 0.2, random);
    world.add(Shape::Cylinder { base, radius: 0.15, height: 0.85 }, legs);
    world.add(Shape::Cylinder { base: base + Vector::new(0.0, 0.85, 0.0), radius: 0.23, height: 0.6 }, coat);
    world.add(Shape::Sphere { centre: base + Vector::new(0.0, 1.6, 0.0), radius: 0.13 }, skin);
}

pub(super) fn lamp_post(world: &mut World, base: Vector, side: f32, random: &mut Stream) {
    let metal = Vector::repeat(random.between(0.03, 0.3));
    let metal = Material::new(Pattern::Plain, metal, metal * 0.8, 0.3, random).glossy(0.3);
    let height = random.between(4.5, 7.5);
    world.add(Shape::Cylinder { base, radius: 0.07, height }, metal);
    let arm = base + Vector::new(side * 0.6, height, 0.0);
    world.add(cuboid(arm, Vector::new(1.4, 0.1, 0.25), 0.0), metal);
}

pub(super) fn house(world: &mut World, base: Vector, random: &mut Stream) {
    let size = Vector::new(random.between(6.0, 11.0), random.between(3.0, 6.0), random.between(6.0, 10.0));
    let yaw = random.pick(&[0.0, TAU / 4.0]) + random.between(-0.4, 0.4);
    let body = wall(random);
    world.add(cuboid(base, size, yaw), body);
    let slope = random.between(0.5, 1.1);
    let tiles = hsl(random.between(0.0, 0.08), random.between(0.1, 0.6), random.between(0.25, 0.5));
    let tiles = Material::new(Pattern::Roof, tiles, tiles * 0.6, random.between(0.3, 0.5), random);
    // The ridge of a roof that is as wide as the house, and starts at its top.
    let over = Vector::new(size.x + 0.8, (size.x + 0.8) * 0.5 * slope, size.z + 0.8);
    world.add(prism(base + Vector::new(0.0, size.y - 0.02, 0.0), over, yaw, slope), tiles);
    if random.chance(0.6) {
        let at = base + Vector::new(size.x * 0.2, size.y, 0.0);
        let brick = Material::new(Pattern::Bricks, hsl(0.03, 0.5, 0.4), Vector::repeat(0.5), 0.15, random);
        world.add(cuboid(at, Vector::new(0.7, over.y + 0.7, 0.7), yaw), brick);
    }
}

pub(super) fn fence(world: &mut World, z: f32, random: &mut Stream) {
    let wood = hsl(0.08, 0.4, random.between(0.25, 0.7));
    let wood = Material::new(Pattern::Planks, wood, wood * 0.6, 0.15, random);
    for post in -8..8 {
        world.add(cuboid(Vector::new(post as f32 * 2.0, 0.0, z), Vector::new(0.14, 1.2, 0.14), 0.0), wood);
    }
    for height in [0.45, 0.95] {
        world.add(cuboid(Vector::new(0.0, height, z), Vector::new(34.0, 0.12, 0.06), 0.0), wood);
    }
}
