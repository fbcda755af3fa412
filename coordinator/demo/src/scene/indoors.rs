//! A furnished room.

use std::f32::consts::TAU;

use super::backdrop::{Backdrop, Room};
use super::materials::{Material, Pattern, hsl};
use super::shapes::{Crown, Shape, Vector, cuboid};
use super::{Camera, Light, Source, World};
use crate::random::Stream;

pub(super) fn room(random: &mut Stream) -> World {
    let half = Vector::new(random.between(1.8, 4.0), random.between(2.4, 3.4), random.between(4.0, 9.0));
    let floor = match random.below(3) {
        0 => Material::new(Pattern::Planks, wood(random), wood(random), random.between(0.1, 0.2), random).glossy(0.2),
        1 => Material::new(Pattern::Tiles, tint(random), tint(random), random.between(0.2, 0.5), random).glossy(0.3),
        _ => Material::new(Pattern::Rough, tint(random), tint(random), 0.06, random),
    };
    let paper = paper(random);
    let accent = if random.chance(0.4) { self::paper(random) } else { paper };
    let white = Vector::repeat(random.between(0.6, 0.85));
    let ceiling = Material::new(Pattern::Plain, white, white * 0.93, 0.8, random);
    let warm = random.unit();
    let colour = Vector::new(1.0, 0.95 - 0.2 * warm, 0.9 - 0.4 * warm) * random.between(0.9, 1.8);
    let ambient = Vector::new(0.3, 0.3, 0.3 + 0.1 * (1.0 - warm)) * random.between(0.5, 1.1);
    let lamp = Vector::new(
        half.x * random.between(-0.5, 0.5),
        half.y * random.between(0.8, 0.95),
        random.between(1.0, half.z * 0.7),
    );
    let mut world = World {
        kind: "room",
        bodies: Vec::new(),
        backdrop: Backdrop::Room(Room { half, walls: [paper, paper, floor, ceiling, paper, accent] }),
        light: Light { source: Source::Lamp(lamp), colour, ambient: (ambient, ambient * 0.7) },
        camera: Camera {
            at: Vector::new(half.x * random.between(-0.4, 0.4), random.between(1.1, 1.8), -random.between(0.0, 1.5)),
            pitch: random.between(-0.3, -0.02),
            half_width: random.between(0.45, 0.7),
        },
        far: half.z * random.between(1.0, 1.4),
    };
    hang_pictures(&mut world, half, random);
    for _ in 0..3 + random.below(6) {
        furnish(&mut world, half, random);
    }
    world
}

fn tint(random: &mut Stream) -> Vector {
    hsl(random.unit(), random.between(0.05, 0.6), random.between(0.3, 0.8))
}

fn wood(random: &mut Stream) -> Vector {
    hsl(random.between(0.05, 0.1), random.between(0.3, 0.6), random.between(0.25, 0.6))
}

fn paper(random: &mut Stream) -> Material {
    let main = hsl(random.unit(), random.between(0.0, 0.3), random.between(0.55, 0.85));
    let other = main * random.between(0.6, 0.95);
    let pattern = random.pick(&[
        Pattern::Plain,
        Pattern::Plain,
        Pattern::Stripes,
        Pattern::Tiles,
        Pattern::Bricks,
        Pattern::Planks,
    ]);
    Material::new(pattern, main, other, random.between(0.1, 0.35), random)
}

fn cloth(random: &mut Stream) -> Material {
    let pattern = random.pick(&[Pattern::Plain, Pattern::Stripes, Pattern::Checks, Pattern::Rough, Pattern::Picture]);
    Material::new(pattern, tint(random), tint(random), random.between(0.05, 0.25), random)
}

fn hang_pictures(world: &mut World, half: Vector, random: &mut Stream) {
    for _ in 0..1 + random.below(5) {
        let size = Vector::new(random.between(0.4, 1.5), random.between(0.4, 1.1), 0.06);
        let y = random.between(0.9, half.y - size.y - 0.2);
        let picture = Material::new(Pattern::Picture, tint(random), tint(random), random.between(0.15, 0.6), random);
        let frame = wood(random) * random.between(0.3, 1.5);
        let frame = Material::new(Pattern::Planks, frame, frame * 0.8, 0.05, random);
        let (base, yaw) = match random.below(4) {
            0 => (Vector::new(-half.x, y, random.between(1.5, half.z - 0.8)), TAU / 4.0),
            1 => (Vector::new(half.x, y, random.between(1.5, half.z - 0.8)), TAU / 4.0),
            _ => (Vector::new((half.x - 0.8) * random.between(-1.0, 1.0), y, half.z), 0.0),
        };
        let border = Vector::new(0.1, 0.1, -0.02);
        world.add(cuboid(base, size, yaw), picture);
        world.add(cuboid(base - Vector::new(0.0, 0.05, 0.0), size + border, yaw), frame);
    }
}

/// One piece, where it may also stand in another.
fn furnish(world: &mut World, half: Vector, random: &mut Stream) {
    let z = random.between(1.8, half.z - 0.4);
    let at = Vector::new((half.x - 0.5) * random.between(-1.0, 1.0), 0.0, z);
    let side = if random.chance(0.5) { 1.0 } else { -1.0 };
    let by_wall = Vector::new(side * (half.x - 0.2), 0.0, z);
    let yaw = random.between(0.0, TAU);
    match random.below(7) {
        0 => table(world, at, yaw, random),
        1 => {
            let size = Vector::new(0.4, random.between(1.0, half.y - 0.3), random.between(0.8, 2.0));
            let books = Material::new(Pattern::Books, wood(random), wood(random), random.between(0.3, 0.42), random);
            world.add(cuboid(by_wall, size, 0.0), books);
        }
        2 => {
            let size = Vector::new(random.between(0.8, 1.8), random.between(0.6, 1.9), 0.6);
            let doors =
                Material::new(Pattern::Tiles, wood(random), tint(random), random.between(0.4, 0.7), random).glossy(0.2);
            world.add(cuboid(Vector::new(at.x, 0.0, half.z - 0.3), size, 0.0), doors);
        }
        3 => sofa(world, at, yaw, random),
        4 => {
            let material = cloth(random).glossy(random.unit());
            let radius = random.between(0.15, 0.45);
            world.add(Shape::Sphere { centre: at + Vector::new(0.0, radius, 0.0), radius }, material);
        }
        5 => {
            let (pot, leaves) = (hsl(0.05, 0.5, 0.4), hsl(random.between(0.22, 0.35), 0.6, 0.4));
            let pot = Material::new(Pattern::Plain, pot, pot * 0.8, 0.2, random);
            world.add(Shape::Cylinder { base: at, radius: 0.2, height: 0.4 }, pot);
            let crown = Crown {
                conifer: false,
                radius: random.between(0.3, 0.6),
                low: 0.1,
                high: random.between(0.8, 1.5),
                trunk: 0.03,
            };
            let leaves = Material::new(Pattern::Leaves, leaves, leaves * 0.5, 0.2, random);
            world.add(Shape::Tree { base: at + Vector::new(0.0, 0.3, 0.0), crown, seed: random.seed() }, leaves);
        }
        _ => {
            let size = Vector::new(random.between(0.3, 1.0), random.between(0.3, 1.3), random.between(0.3, 1.0));
            let material = cloth(random);
            world.add(cuboid(at, size, yaw), material);
        }
    }
}

fn table(world: &mut World, at: Vector, yaw: f32, random: &mut Stream) {
    let material = Material::new(Pattern::Planks, wood(random), wood(random), 0.12, random).glossy(0.3);
    let (wide, deep, high) = (random.between(0.8, 1.8), random.between(0.6, 1.0), random.between(0.45, 0.8));
    world.add(cuboid(at + Vector::new(0.0, high, 0.0), Vector::new(wide, 0.05, deep), yaw), material);
    let (sin, cos) = (libm::sinf(yaw), libm::cosf(yaw));
    let turned = |x: f32, z: f32| Vector::new(cos * x + sin * z, 0.0, cos * z - sin * x);
    for (x, z) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
        let foot = at + turned(x * (wide / 2.0 - 0.05), z * (deep / 2.0 - 0.05));
        world.add(cuboid(foot, Vector::new(0.06, high, 0.06), yaw), material);
    }
    for _ in 0..random.below(5) {
        let place = at
            + turned(wide * random.between(-0.4, 0.4), deep * random.between(-0.4, 0.4))
            + Vector::new(0.0, high + 0.05, 0.0);
        let thing = cloth(random).glossy(random.unit());
        let size = random.between(0.05, 0.16);
        match random.below(3) {
            0 => world.add(Shape::Sphere { centre: place + Vector::new(0.0, size, 0.0), radius: size }, thing),
            1 => world.add(Shape::Cylinder { base: place, radius: size * 0.6, height: size * 3.0 }, thing),
            _ => world.add(cuboid(place, Vector::new(size * 2.5, size, size * 2.0), random.between(0.0, TAU)), thing),
        }
    }
}

fn sofa(world: &mut World, at: Vector, yaw: f32, random: &mut Stream) {
    let (material, wide) = (cloth(random), random.between(0.7, 2.0));
    let behind = Vector::new(libm::sinf(yaw), 0.0, libm::cosf(yaw)) * 0.35;
    world.add(cuboid(at, Vector::new(wide, 0.42, 0.8), yaw), material);
    world.add(cuboid(at + behind, Vector::new(wide, 0.85, 0.2), yaw), material);
}
