//! Draws furnished rooms.

use std::f32::consts::TAU;

use super::material::{Material, Pattern, hsl};
use super::shape::{Crown, Shape, Vector, cuboid};
use super::world::{Backdrop, Camera, Light, Room, Source, World};
use crate::rng::SceneRng;

pub(super) fn room(rng: &mut SceneRng) -> World {
    let half = Vector::new(rng.uniform(1.8, 4.0), rng.uniform(2.4, 3.4), rng.uniform(4.0, 9.0));
    let floor = match rng.index(3) {
        0 => Material::new(Pattern::Planks, wood(rng), wood(rng), rng.uniform(0.1, 0.2), rng).glossy(0.2),
        1 => Material::new(Pattern::Tiles, tint(rng), tint(rng), rng.uniform(0.2, 0.5), rng).glossy(0.3),
        _ => Material::new(Pattern::Rough, tint(rng), tint(rng), 0.06, rng),
    };
    let paper = wallpaper(rng);
    let accent = if rng.bernoulli(0.4) { wallpaper(rng) } else { paper };
    let white = Vector::repeat(rng.uniform(0.6, 0.85));
    let ceiling = Material::new(Pattern::Plain, white, white * 0.93, 0.8, rng);
    let warm = rng.unit();
    let colour = Vector::new(1.0, 0.95 - 0.2 * warm, 0.9 - 0.4 * warm) * rng.uniform(0.9, 1.8);
    let ambient = Vector::new(0.3, 0.3, 0.3 + 0.1 * (1.0 - warm)) * rng.uniform(0.5, 1.1);
    let lamp =
        Vector::new(half.x * rng.uniform(-0.5, 0.5), half.y * rng.uniform(0.8, 0.95), rng.uniform(1.0, half.z * 0.7));
    let mut world = World {
        kind: "room",
        bodies: Vec::new(),
        backdrop: Backdrop::Room(Room { half, walls: [paper, paper, floor, ceiling, paper, accent] }),
        light: Light { source: Source::Lamp(lamp), colour, ambient: (ambient, ambient * 0.7) },
        camera: Camera {
            position: Vector::new(half.x * rng.uniform(-0.4, 0.4), rng.uniform(1.1, 1.8), -rng.uniform(0.0, 1.5)),
            pitch: rng.uniform(-0.3, -0.02),
            half_width: rng.uniform(0.45, 0.7),
        },
        far: half.z * rng.uniform(1.0, 1.4),
    };
    hang_pictures(&mut world, half, rng);
    for _ in 0..3 + rng.index(6) {
        furnish(&mut world, half, rng);
    }
    world
}

fn tint(rng: &mut SceneRng) -> Vector {
    hsl(rng.unit(), rng.uniform(0.05, 0.6), rng.uniform(0.3, 0.8))
}

fn wood(rng: &mut SceneRng) -> Vector {
    hsl(rng.uniform(0.05, 0.1), rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.6))
}

fn wallpaper(rng: &mut SceneRng) -> Material {
    let main = hsl(rng.unit(), rng.uniform(0.0, 0.3), rng.uniform(0.55, 0.85));
    let other = main * rng.uniform(0.6, 0.95);
    let pattern = rng.choose(&[
        Pattern::Plain,
        Pattern::Plain,
        Pattern::Stripes,
        Pattern::Tiles,
        Pattern::Bricks,
        Pattern::Planks,
    ]);
    Material::new(pattern, main, other, rng.uniform(0.1, 0.35), rng)
}

fn cloth(rng: &mut SceneRng) -> Material {
    let pattern = rng.choose(&[Pattern::Plain, Pattern::Stripes, Pattern::Checks, Pattern::Rough, Pattern::Picture]);
    Material::new(pattern, tint(rng), tint(rng), rng.uniform(0.05, 0.25), rng)
}

fn hang_pictures(world: &mut World, half: Vector, rng: &mut SceneRng) {
    for _ in 0..1 + rng.index(5) {
        let size = Vector::new(rng.uniform(0.4, 1.5), rng.uniform(0.4, 1.1), 0.06);
        let y = rng.uniform(0.9, half.y - size.y - 0.2);
        let picture = Material::new(Pattern::Picture, tint(rng), tint(rng), rng.uniform(0.15, 0.6), rng);
        let frame = wood(rng) * rng.uniform(0.3, 1.5);
        let frame = Material::new(Pattern::Planks, frame, frame * 0.8, 0.05, rng);
        let (base, yaw) = match rng.index(4) {
            0 => (Vector::new(-half.x, y, rng.uniform(1.5, half.z - 0.8)), TAU / 4.0),
            1 => (Vector::new(half.x, y, rng.uniform(1.5, half.z - 0.8)), TAU / 4.0),
            _ => (Vector::new((half.x - 0.8) * rng.uniform(-1.0, 1.0), y, half.z), 0.0),
        };
        let border = Vector::new(0.1, 0.1, -0.02);
        world.add(cuboid(base, size, yaw), picture);
        world.add(cuboid(base - Vector::new(0.0, 0.05, 0.0), size + border, yaw), frame);
    }
}

/// Adds a piece of furniture, which may overlap another.
fn furnish(world: &mut World, half: Vector, rng: &mut SceneRng) {
    let z = rng.uniform(1.8, half.z - 0.4);
    let position = Vector::new((half.x - 0.5) * rng.uniform(-1.0, 1.0), 0.0, z);
    let side = if rng.bernoulli(0.5) { 1.0 } else { -1.0 };
    let by_wall = Vector::new(side * (half.x - 0.2), 0.0, z);
    let yaw = rng.uniform(0.0, TAU);
    match rng.index(7) {
        0 => table(world, position, yaw, rng),
        1 => {
            let size = Vector::new(0.4, rng.uniform(1.0, half.y - 0.3), rng.uniform(0.8, 2.0));
            let books = Material::new(Pattern::Books, wood(rng), wood(rng), rng.uniform(0.3, 0.42), rng);
            world.add(cuboid(by_wall, size, 0.0), books);
        }
        2 => {
            let size = Vector::new(rng.uniform(0.8, 1.8), rng.uniform(0.6, 1.9), 0.6);
            let doors = Material::new(Pattern::Tiles, wood(rng), tint(rng), rng.uniform(0.4, 0.7), rng).glossy(0.2);
            world.add(cuboid(Vector::new(position.x, 0.0, half.z - 0.3), size, 0.0), doors);
        }
        3 => sofa(world, position, yaw, rng),
        4 => {
            let material = cloth(rng).glossy(rng.unit());
            let radius = rng.uniform(0.15, 0.45);
            world.add(Shape::Sphere { centre: position + Vector::new(0.0, radius, 0.0), radius }, material);
        }
        5 => {
            let (pot, leaves) = (hsl(0.05, 0.5, 0.4), hsl(rng.uniform(0.22, 0.35), 0.6, 0.4));
            let pot = Material::new(Pattern::Plain, pot, pot * 0.8, 0.2, rng);
            world.add(Shape::Cylinder { base: position, radius: 0.2, height: 0.4 }, pot);
            let crown = Crown {
                conifer: false,
                radius: rng.uniform(0.3, 0.6),
                low: 0.1,
                high: rng.uniform(0.8, 1.5),
                trunk: 0.03,
            };
            let leaves = Material::new(Pattern::Leaves, leaves, leaves * 0.5, 0.2, rng);
            world.add(
                Shape::Tree { base: position + Vector::new(0.0, 0.3, 0.0), crown, seed: rng.noise_seed() },
                leaves,
            );
        }
        _ => {
            let size = Vector::new(rng.uniform(0.3, 1.0), rng.uniform(0.3, 1.3), rng.uniform(0.3, 1.0));
            let material = cloth(rng);
            world.add(cuboid(position, size, yaw), material);
        }
    }
}

fn table(world: &mut World, position: Vector, yaw: f32, rng: &mut SceneRng) {
    let material = Material::new(Pattern::Planks, wood(rng), wood(rng), 0.12, rng).glossy(0.3);
    let (wide, deep, high) = (rng.uniform(0.8, 1.8), rng.uniform(0.6, 1.0), rng.uniform(0.45, 0.8));
    world.add(cuboid(position + Vector::new(0.0, high, 0.0), Vector::new(wide, 0.05, deep), yaw), material);
    let (sin, cos) = (libm::sinf(yaw), libm::cosf(yaw));
    let rotated = |x: f32, z: f32| Vector::new(cos * x + sin * z, 0.0, cos * z - sin * x);
    for (x, z) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
        let foot = position + rotated(x * (wide / 2.0 - 0.05), z * (deep / 2.0 - 0.05));
        world.add(cuboid(foot, Vector::new(0.06, high, 0.06), yaw), material);
    }
    for _ in 0..rng.index(5) {
        let top = position
            + rotated(wide * rng.uniform(-0.4, 0.4), deep * rng.uniform(-0.4, 0.4))
            + Vector::new(0.0, high + 0.05, 0.0);
        let material = cloth(rng).glossy(rng.unit());
        let size = rng.uniform(0.05, 0.16);
        match rng.index(3) {
            0 => world.add(Shape::Sphere { centre: top + Vector::new(0.0, size, 0.0), radius: size }, material),
            1 => world.add(Shape::Cylinder { base: top, radius: size * 0.6, height: size * 3.0 }, material),
            _ => world.add(cuboid(top, Vector::new(size * 2.5, size, size * 2.0), rng.uniform(0.0, TAU)), material),
        }
    }
}

fn sofa(world: &mut World, position: Vector, yaw: f32, rng: &mut SceneRng) {
    let (material, wide) = (cloth(rng), rng.uniform(0.7, 2.0));
    let back = Vector::new(libm::sinf(yaw), 0.0, libm::cosf(yaw)) * 0.35;
    world.add(cuboid(position, Vector::new(wide, 0.42, 0.8), yaw), material);
    world.add(cuboid(position + back, Vector::new(wide, 0.85, 0.2), yaw), material);
}
