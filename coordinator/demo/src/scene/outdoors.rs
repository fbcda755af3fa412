//! Draws landscapes: streets, parks, lakes, villages, squares, mountains, and towns from above.

use std::f32::consts::TAU;

use super::material::{Material, Pattern, hsl};
use super::outdoor_objects::{
    bush, car, fence, foliage, ground_cover, house, lamp_post, paint, paving, person, rock, stone, tree, wall,
};
use super::shape::{Shape, Vector, cuboid, prism};
use super::world::{Backdrop, Camera, Ground, Light, Ridge, Road, Sky, Source, Water, World};
use crate::pixels::power;
use crate::rng::SceneRng;

pub(super) fn landscape(rng: &mut SceneRng) -> World {
    let kind = rng.choose(&["street", "park", "lake", "village", "square", "mountains", "town"]);
    let mut world = empty_land(kind, rng);
    match kind {
        "street" => street(&mut world, rng),
        "park" => park(&mut world, rng),
        "lake" => lake(&mut world, rng),
        "village" => village(&mut world, rng),
        "square" => square(&mut world, rng),
        "mountains" => mountains(&mut world, rng),
        _ => town(&mut world, rng),
    }
    world
}

/// Draws light, sky, ground and camera.
fn empty_land(kind: &'static str, rng: &mut SceneRng) -> World {
    let (azimuth, height) = (rng.uniform(0.0, TAU), rng.uniform(0.25, 1.1));
    let level = libm::cosf(height);
    let sun = Vector::new(level * libm::sinf(azimuth), libm::sinf(height), level * libm::cosf(azimuth));
    let warm = power(1.0 - height / 1.1, 2);
    let cover = if rng.bernoulli(0.3) { rng.uniform(0.75, 1.0) } else { rng.uniform(0.0, 0.6) };
    let strength = 1.6 * (1.0 - 0.75 * ((cover - 0.5) * 2.0_f32).max(0.0));
    let blue = hsl(rng.uniform(0.55, 0.61), rng.uniform(0.3, 0.6), rng.uniform(0.5, 0.65));
    let grey = Vector::repeat(rng.uniform(0.5, 0.75));
    let dull = ((cover - 0.6) * 2.5_f32).clamp(0.0, 1.0);
    let zenith = blue + (grey - blue) * dull;
    let horizon = zenith * 0.4 + (Vector::new(0.75, 0.78, 0.8) + Vector::new(0.15, 0.0, -0.2) * warm) * 0.6;
    let sky =
        Sky { zenith, horizon, sun, glow: Vector::new(0.5, 0.4, 0.25) * (1.0 - dull), cover, seed: rng.noise_seed() };
    let light = Light {
        source: Source::Sun(sun),
        colour: Vector::new(1.0, 0.94 - 0.25 * warm, 0.85 - 0.45 * warm) * strength,
        ambient: (zenith * 0.55 + Vector::repeat(0.06 + 0.2 * dull), Vector::new(0.14, 0.12, 0.09)),
    };
    let camera = Camera {
        position: Vector::new(0.0, rng.log_uniform(1.4, 5.0), 0.0),
        pitch: rng.uniform(-0.16, 0.08),
        half_width: rng.uniform(0.42, 0.75),
    };
    let ground = Ground { field: ground_cover(rng), patch: None, road: None, water: None };
    let backdrop = Backdrop::Land { ground, ridges: ridges(rng), sky };
    World { kind, bodies: Vec::new(), backdrop, light, camera, far: rng.log_uniform(70.0, 220.0) }
}

fn ridges(rng: &mut SceneRng) -> Vec<Ridge> {
    let mut distance = rng.log_uniform(80.0, 200.0);
    let mut ridges = Vec::new();
    for _ in 0..rng.index(4) {
        let wooded = rng.bernoulli(0.7);
        let mut material = if wooded { foliage(rng) } else { ground_cover(rng) };
        material.size *= if wooded { 5.0 } else { 12.0 };
        let height = distance * rng.uniform(0.05, 0.2);
        let (roughness, seed) = (rng.uniform(0.2, 0.5), rng.noise_seed());
        ridges.push(Ridge { distance, height, roughness, material, snow: None, seed });
        distance *= rng.uniform(1.4, 2.2);
    }
    ridges
}

fn ground(world: &mut World) -> &mut Ground {
    match &mut world.backdrop {
        Backdrop::Land { ground, .. } => ground,
        Backdrop::Room(_) => unreachable!("a landscape has no room"),
    }
}

fn road(rng: &mut SceneRng) -> Road {
    let asphalt = Vector::repeat(rng.uniform(0.05, 0.2));
    let surface = Material::new(Pattern::Rough, asphalt, asphalt * 1.25, 0.12, rng);
    Road {
        middle: rng.uniform(-3.0, 3.0),
        half_width: rng.uniform(2.0, 5.0),
        bend: rng.uniform(-0.004, 0.004),
        surface,
        side: paving(rng),
        marked: rng.bernoulli(0.7),
    }
}

fn street(world: &mut World, rng: &mut SceneRng) {
    let road = Road { bend: rng.uniform(-0.001, 0.001), ..road(rng) };
    let verge = road.half_width + rng.uniform(2.5, 6.0);
    for side in [-1.0, 1.0] {
        let mut z = rng.uniform(3.0, 14.0);
        while z < 160.0 {
            let size = Vector::new(12.0, rng.log_uniform(5.0, 26.0), rng.uniform(7.0, 18.0));
            let x = road.middle + road.bend * z * z + side * (verge + size.x / 2.0);
            let face = wall(rng);
            if rng.bernoulli(0.88) {
                world.add(cuboid(Vector::new(x, 0.0, z + size.z / 2.0), size, 0.0), face);
            }
            z += size.z + if rng.bernoulli(0.3) { rng.uniform(1.0, 9.0) } else { 0.0 };
        }
    }
    let leaves = foliage(rng);
    let has_trees = rng.bernoulli(0.6);
    for step in 0..9 {
        let z = 9.0 + 11.0 * step as f32;
        for side in [-1.0, 1.0] {
            let position = Vector::new(road.middle + road.bend * z * z + side * (road.half_width + 1.0), 0.0, z);
            match rng.index(4) {
                0 => lamp_post(world, position, -side, rng),
                1 if has_trees => tree(world, position, rng, leaves),
                2 if rng.bernoulli(0.6) => person(world, position + Vector::new(side * rng.unit(), 0.0, 4.0), rng),
                3 if rng.bernoulli(0.6) => {
                    car(world, position + Vector::new(-side * 2.2, 0.0, 3.0), rng.uniform(-0.05, 0.05), rng);
                }
                _ => {}
            }
        }
    }
    let ground = ground(world);
    ground.field = paving(rng);
    ground.road = Some(road);
}

/// Adds up to `count` objects at random positions from `near` metres on, but not on roads or water.
fn scatter(
    world: &mut World,
    count: usize,
    near: f32,
    rng: &mut SceneRng,
    mut add: impl FnMut(&mut World, Vector, &mut SceneRng),
) {
    for _ in 0..count {
        let z = rng.log_uniform(near, 130.0);
        let x = z * rng.uniform(-0.9, 0.9);
        let position = Vector::new(x, 0.0, z);
        let is_taken = match &world.backdrop {
            Backdrop::Land { ground, .. } => {
                ground.road.as_ref().is_some_and(|road| road.offset(x, z).abs() < road.half_width + 1.0)
                    || ground.water.as_ref().is_some_and(|water| water.covers(&position))
            }
            Backdrop::Room(_) => false,
        };
        if !is_taken {
            add(world, position, rng);
        }
    }
}

fn park(world: &mut World, rng: &mut SceneRng) {
    let patch = ground_cover(rng);
    ground(world).patch = Some((patch, rng.uniform(6.0, 25.0)));
    if rng.bernoulli(0.6) {
        let gravel = stone(rng) * 0.8;
        let surface = Material::new(Pattern::Rough, gravel, gravel * 0.8, 0.15, rng);
        let path =
            Road { half_width: rng.uniform(0.8, 2.0), surface, side: ground_cover(rng), marked: false, ..road(rng) };
        ground(world).road = Some(path);
    }
    let leaves = [foliage(rng), foliage(rng)];
    let count = 6 + rng.index(30);
    scatter(world, count, 11.0, rng, |world, position, rng| {
        let material = rng.choose(&leaves);
        tree(world, position, rng, material);
    });
    let count = rng.index(10);
    scatter(world, count, 4.0, rng, bush);
    let count = rng.index(5);
    scatter(world, count, 6.0, rng, person);
    let count = rng.index(4);
    scatter(world, count, 4.0, rng, rock);
}

fn lake(world: &mut World, rng: &mut SceneRng) {
    let near_shore = rng.uniform(4.0, 14.0);
    ground(world).water = Some(Water {
        near_shore,
        far_shore: near_shore + rng.log_uniform(25.0, 120.0),
        colour: hsl(rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.45)),
        ripple: rng.log_uniform(0.01, 0.12),
        seed: rng.noise_seed(),
    });
    let leaves = [foliage(rng), foliage(rng)];
    let count = 15 + rng.index(30);
    scatter(world, count, 10.0, rng, |world, position, rng| {
        let material = rng.choose(&leaves);
        tree(world, position, rng, material);
    });
    let count = rng.index(8);
    scatter(world, count, 3.0, rng, rock);
    let count = rng.index(8);
    scatter(world, count, 3.0, rng, bush);
    let count = rng.index(4);
    scatter(world, count, 25.0, rng, house);
}

fn village(world: &mut World, rng: &mut SceneRng) {
    let patch = ground_cover(rng);
    ground(world).patch = Some((patch, rng.uniform(10.0, 40.0)));
    if rng.bernoulli(0.7) {
        ground(world).road = Some(road(rng));
    }
    let count = 4 + rng.index(10);
    scatter(world, count, 16.0, rng, house);
    let leaves = [foliage(rng), foliage(rng)];
    let count = 5 + rng.index(20);
    scatter(world, count, 8.0, rng, |world, position, rng| {
        let material = rng.choose(&leaves);
        tree(world, position, rng, material);
    });
    if rng.bernoulli(0.5) {
        let z = rng.uniform(5.0, 12.0);
        fence(world, z, rng);
    }
    let count = rng.index(4);
    scatter(world, count, 6.0, rng, |world, position, rng| car(world, position, rng.uniform(0.0, TAU), rng));
}

fn square(world: &mut World, rng: &mut SceneRng) {
    ground(world).field = paving(rng);
    let depth = rng.uniform(35.0, 110.0);
    let mut x = -depth;
    while x < depth {
        let size = Vector::new(rng.uniform(8.0, 24.0), rng.log_uniform(6.0, 35.0), 12.0);
        let face = wall(rng);
        world.add(cuboid(Vector::new(x + size.x / 2.0, 0.0, depth + rng.uniform(0.0, 30.0)), size, 0.0), face);
        x += size.x + rng.uniform(0.0, 6.0);
    }
    let count = 3 + rng.index(9);
    scatter(world, count, 6.0, rng, |world, position, rng| {
        let pattern =
            rng.choose(&[Pattern::Veins, Pattern::Plain, Pattern::Stripes, Pattern::Checks, Pattern::Picture]);
        let (main, other) = (paint(rng), stone(rng));
        let material = Material::new(pattern, main, other, rng.uniform(0.2, 0.8), rng).glossy(rng.unit());
        let size = rng.log_uniform(0.6, 3.0);
        match rng.index(4) {
            0 => world.add(Shape::Sphere { centre: position + Vector::new(0.0, size, 0.0), radius: size }, material),
            1 => world.add(Shape::Cylinder { base: position, radius: size * 0.3, height: size * 2.5 }, material),
            2 => world.add(cuboid(position, Vector::new(size, size * 1.5, size), rng.uniform(0.0, TAU)), material),
            _ => world
                .add(prism(position, Vector::new(size * 2.0, size, size * 2.0), rng.uniform(0.0, TAU), 1.0), material),
        }
    });
    let count = rng.index(8);
    scatter(world, count, 6.0, rng, person);
    let leaves = foliage(rng);
    let count = rng.index(8);
    scatter(world, count, 10.0, rng, |world, position, rng| tree(world, position, rng, leaves));
    let count = rng.index(4);
    scatter(world, count, 8.0, rng, |world, position, rng| car(world, position, rng.uniform(0.0, TAU), rng));
}

fn mountains(world: &mut World, rng: &mut SceneRng) {
    world.far = rng.log_uniform(300.0, 900.0);
    world.camera.pitch = rng.uniform(-0.05, 0.16);
    let mut distance = rng.uniform(120.0, 260.0);
    let mut higher = Vec::new();
    for _ in 0..3 + rng.index(3) {
        let main = if rng.bernoulli(0.5) { stone(rng) * 0.6 } else { foliage(rng).main };
        let material = Material::new(Pattern::Rough, main, main * 0.5, distance * 0.04, rng);
        let height = distance * rng.uniform(0.15, 0.5);
        let snow = rng.bernoulli(0.4).then(|| height * rng.uniform(0.5, 0.8));
        higher.push(Ridge {
            distance,
            height,
            roughness: rng.uniform(0.4, 0.9),
            material,
            snow,
            seed: rng.noise_seed(),
        });
        distance *= rng.uniform(1.3, 1.8);
    }
    if let Backdrop::Land { ridges, .. } = &mut world.backdrop {
        *ridges = higher;
    }
    let patch = ground_cover(rng);
    ground(world).patch = Some((patch, rng.uniform(10.0, 60.0)));
    let leaves = foliage(rng);
    let count = 10 + rng.index(40);
    scatter(world, count, 10.0, rng, |world, position, rng| tree(world, position, rng, leaves));
    let count = 3 + rng.index(10);
    scatter(world, count, 4.0, rng, rock);
}

/// Draws blocks of houses as seen from a hill or a tower.
fn town(world: &mut World, rng: &mut SceneRng) {
    world.far = rng.log_uniform(200.0, 500.0);
    world.camera.position.y = rng.uniform(22.0, 60.0);
    world.camera.pitch = rng.uniform(-0.6, -0.2);
    let (street, block) = (rng.uniform(8.0, 14.0), rng.uniform(14.0, 24.0));
    let leaves = foliage(rng);
    let tall = rng.log_uniform(8.0, 30.0);
    ground(world).field = paving(rng);
    let period = street + block;
    for row in 0..8 {
        for column in -4..4 {
            let z = 26.0 + period * row as f32;
            let position = Vector::new(period * (column as f32 + 0.5), 0.0, z);
            if position.x.abs() > z * 1.1 + 20.0 {
                continue;
            }
            if rng.bernoulli(0.15) {
                for _ in 0..3 {
                    let offset = Vector::new(rng.uniform(-0.4, 0.4), 0.0, rng.uniform(-0.4, 0.4)) * block;
                    tree(world, position + offset, rng, leaves);
                }
                continue;
            }
            let size = Vector::new(
                block * rng.uniform(0.6, 1.0),
                tall * rng.log_uniform(0.4, 1.8),
                block * rng.uniform(0.6, 1.0),
            );
            let face = wall(rng);
            world.add(cuboid(position, size, 0.0), face);
            if rng.bernoulli(0.4) {
                let top = position + Vector::new(0.0, size.y, 0.0);
                let box_size = Vector::new(size.x * 0.4, 2.5, size.z * 0.3);
                let material = wall(rng);
                world.add(cuboid(top, box_size, 0.0), material);
            }
            if rng.bernoulli(0.5) {
                let parking = position + Vector::new(block * 0.5 + street * 0.4, 0.0, rng.uniform(-6.0, 6.0));
                car(world, parking, 0.0, rng);
            }
        }
    }
}
