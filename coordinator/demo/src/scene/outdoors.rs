//! What stands where outdoors: streets, parks, lakes, villages, squares, mountains, and towns from above.

use std::f32::consts::TAU;

use super::backdrop::{Backdrop, Ground, Ridge, Road, Sky, Water};
use super::materials::{Material, Pattern, hsl};
use super::shapes::{Shape, Vector, cuboid, prism};
use super::things::{
    bush, car, fence, foliage, growth, house, lamp_post, paint, paving, person, rock, stone, tree, wall,
};
use super::{Camera, Light, Source, World};
use crate::plane::power;
use crate::random::Stream;

pub(super) fn place(random: &mut Stream) -> World {
    let kind = random.pick(&["street", "park", "lake", "village", "square", "mountains", "town"]);
    let mut world = land(kind, random);
    match kind {
        "street" => street(&mut world, random),
        "park" => park(&mut world, random),
        "lake" => lake(&mut world, random),
        "village" => village(&mut world, random),
        "square" => square(&mut world, random),
        "mountains" => mountains(&mut world, random),
        _ => town(&mut world, random),
    }
    world
}

/// Light, sky, ground and camera.
fn land(kind: &'static str, random: &mut Stream) -> World {
    let (turn, height) = (random.between(0.0, TAU), random.between(0.25, 1.1));
    let level = libm::cosf(height);
    let sun = Vector::new(level * libm::sinf(turn), libm::sinf(height), level * libm::cosf(turn));
    let warm = power(1.0 - height / 1.1, 2);
    let cover = if random.chance(0.3) { random.between(0.75, 1.0) } else { random.between(0.0, 0.6) };
    let strength = 1.6 * (1.0 - 0.75 * ((cover - 0.5) * 2.0_f32).max(0.0));
    let blue = hsl(random.between(0.55, 0.61), random.between(0.3, 0.6), random.between(0.5, 0.65));
    let grey = Vector::repeat(random.between(0.5, 0.75));
    let dull = ((cover - 0.6) * 2.5_f32).clamp(0.0, 1.0);
    let zenith = blue + (grey - blue) * dull;
    let horizon = zenith * 0.4 + (Vector::new(0.75, 0.78, 0.8) + Vector::new(0.15, 0.0, -0.2) * warm) * 0.6;
    let sky =
        Sky { zenith, horizon, sun, glow: Vector::new(0.5, 0.4, 0.25) * (1.0 - dull), cover, seed: random.seed() };
    let light = Light {
        source: Source::Sun(sun),
        colour: Vector::new(1.0, 0.94 - 0.25 * warm, 0.85 - 0.45 * warm) * strength,
        ambient: (zenith * 0.55 + Vector::repeat(0.06 + 0.2 * dull), Vector::new(0.14, 0.12, 0.09)),
    };
    let camera = Camera {
        at: Vector::new(0.0, random.log_between(1.4, 5.0), 0.0),
        pitch: random.between(-0.16, 0.08),
        half_width: random.between(0.42, 0.75),
    };
    let ground = Ground { field: growth(random), patch: None, road: None, water: None };
    let backdrop = Backdrop::Land { ground, ridges: ridges(random), sky };
    World { kind, bodies: Vec::new(), backdrop, light, camera, far: random.log_between(70.0, 220.0) }
}

fn ridges(random: &mut Stream) -> Vec<Ridge> {
    let mut distance = random.log_between(80.0, 200.0);
    let mut ridges = Vec::new();
    for _ in 0..random.below(4) {
        let wooded = random.chance(0.7);
        let mut material = if wooded { foliage(random) } else { growth(random) };
        material.size *= if wooded { 5.0 } else { 12.0 };
        let height = distance * random.between(0.05, 0.2);
        let (roughness, seed) = (random.between(0.2, 0.5), random.seed());
        ridges.push(Ridge { distance, height, roughness, material, snow: None, seed });
        distance *= random.between(1.4, 2.2);
    }
    ridges
}

fn ground(world: &mut World) -> &mut Ground {
    match &mut world.backdrop {
        Backdrop::Land { ground, .. } => ground,
        Backdrop::Room(_) => unreachable!("it is outdoors"),
    }
}

fn road(random: &mut Stream) -> Road {
    let asphalt = Vector::repeat(random.between(0.05, 0.2));
    let surface = Material::new(Pattern::Rough, asphalt, asphalt * 1.25, 0.12, random);
    Road {
        middle: random.between(-3.0, 3.0),
        half_width: random.between(2.0, 5.0),
        bend: random.between(-0.004, 0.004),
        surface,
        side: paving(random),
        marked: random.chance(0.7),
    }
}

fn street(world: &mut World, random: &mut Stream) {
    let road = Road { bend: random.between(-0.001, 0.001), ..road(random) };
    let verge = road.half_width + random.between(2.5, 6.0);
    for side in [-1.0, 1.0] {
        let mut z = random.between(3.0, 14.0);
        while z < 160.0 {
            let size = Vector::new(12.0, random.log_between(5.0, 26.0), random.between(7.0, 18.0));
            let x = road.middle + road.bend * z * z + side * (verge + size.x / 2.0);
            let face = wall(random);
            if random.chance(0.88) {
                world.add(cuboid(Vector::new(x, 0.0, z + size.z / 2.0), size, 0.0), face);
            }
            z += size.z + if random.chance(0.3) { random.between(1.0, 9.0) } else { 0.0 };
        }
    }
    let leaves = foliage(random);
    let lined = random.chance(0.6);
    for step in 0..9 {
        let z = 9.0 + 11.0 * step as f32;
        for side in [-1.0, 1.0] {
            let at = Vector::new(road.middle + road.bend * z * z + side * (road.half_width + 1.0), 0.0, z);
            match random.below(4) {
                0 => lamp_post(world, at, -side, random),
                1 if lined => tree(world, at, random, leaves),
                2 if random.chance(0.6) => person(world, at + Vector::new(side * random.unit(), 0.0, 4.0), random),
                3 if random.chance(0.6) => {
                    car(world, at + Vector::new(-side * 2.2, 0.0, 3.0), random.between(-0.05, 0.05), random);
                }
                _ => {}
            }
        }
    }
    let ground = ground(world);
    ground.field = paving(random);
    ground.road = Some(road);
}

fn scatter(
    world: &mut World,
    count: usize,
    from: f32,
    random: &mut Stream,
    mut what: impl FnMut(&mut World, Vector, &mut Stream),
) {
    for _ in 0..count {
        let z = random.log_between(from, 130.0);
        let x = z * random.between(-0.9, 0.9);
        let at = Vector::new(x, 0.0, z);
        let taken = match &world.backdrop {
            Backdrop::Land { ground, .. } => {
                ground.road.as_ref().is_some_and(|road| road.offset(x, z).abs() < road.half_width + 1.0)
                    || ground.water.as_ref().is_some_and(|water| water.covers(&at))
            }
            Backdrop::Room(_) => false,
        };
        if !taken {
            what(world, at, random);
        }
    }
}

fn park(world: &mut World, random: &mut Stream) {
    let patch = growth(random);
    ground(world).patch = Some((patch, random.between(6.0, 25.0)));
    if random.chance(0.6) {
        let gravel = stone(random) * 0.8;
        let surface = Material::new(Pattern::Rough, gravel, gravel * 0.8, 0.15, random);
        let path =
            Road { half_width: random.between(0.8, 2.0), surface, side: growth(random), marked: false, ..road(random) };
        ground(world).road = Some(path);
    }
    let leaves = [foliage(random), foliage(random)];
    let count = 6 + random.below(30);
    scatter(world, count, 11.0, random, |world, at, random| {
        let material = random.pick(&leaves);
        tree(world, at, random, material);
    });
    let count = random.below(10);
    scatter(world, count, 4.0, random, bush);
    let count = random.below(5);
    scatter(world, count, 6.0, random, person);
    let count = random.below(4);
    scatter(world, count, 4.0, random, rock);
}

fn lake(world: &mut World, random: &mut Stream) {
    let from = random.between(4.0, 14.0);
    ground(world).water = Some(Water {
        from,
        to: from + random.log_between(25.0, 120.0),
        colour: hsl(random.between(0.4, 0.6), random.between(0.2, 0.6), random.between(0.2, 0.45)),
        ripple: random.log_between(0.01, 0.12),
        seed: random.seed(),
    });
    let leaves = [foliage(random), foliage(random)];
    let count = 15 + random.below(30);
    scatter(world, count, 10.0, random, |world, at, random| {
        let material = random.pick(&leaves);
        tree(world, at, random, material);
    });
    let count = random.below(8);
    scatter(world, count, 3.0, random, rock);
    let count = random.below(8);
    scatter(world, count, 3.0, random, bush);
    let count = random.below(4);
    scatter(world, count, 25.0, random, house);
}

fn village(world: &mut World, random: &mut Stream) {
    let patch = growth(random);
    ground(world).patch = Some((patch, random.between(10.0, 40.0)));
    if random.chance(0.7) {
        ground(world).road = Some(road(random));
    }
    let count = 4 + random.below(10);
    scatter(world, count, 16.0, random, house);
    let leaves = [foliage(random), foliage(random)];
    let count = 5 + random.below(20);
    scatter(world, count, 8.0, random, |world, at, random| {
        let material = random.pick(&leaves);
        tree(world, at, random, material);
    });
    if random.chance(0.5) {
        let z = random.between(5.0, 12.0);
        fence(world, z, random);
    }
    let count = random.below(4);
    scatter(world, count, 6.0, random, |world, at, random| car(world, at, random.between(0.0, TAU), random));
}

fn square(world: &mut World, random: &mut Stream) {
    ground(world).field = paving(random);
    let depth = random.between(35.0, 110.0);
    let mut x = -depth;
    while x < depth {
        let size = Vector::new(random.between(8.0, 24.0), random.log_between(6.0, 35.0), 12.0);
        let face = wall(random);
        world.add(cuboid(Vector::new(x + size.x / 2.0, 0.0, depth + random.between(0.0, 30.0)), size, 0.0), face);
        x += size.x + random.between(0.0, 6.0);
    }
    let count = 3 + random.below(9);
    scatter(world, count, 6.0, random, |world, at, random| {
        let pattern =
            random.pick(&[Pattern::Veins, Pattern::Plain, Pattern::Stripes, Pattern::Checks, Pattern::Picture]);
        let (main, other) = (paint(random), stone(random));
        let material = Material::new(pattern, main, other, random.between(0.2, 0.8), random).glossy(random.unit());
        let size = random.log_between(0.6, 3.0);
        match random.below(4) {
            0 => world.add(Shape::Sphere { centre: at + Vector::new(0.0, size, 0.0), radius: size }, material),
            1 => world.add(Shape::Cylinder { base: at, radius: size * 0.3, height: size * 2.5 }, material),
            2 => world.add(cuboid(at, Vector::new(size, size * 1.5, size), random.between(0.0, TAU)), material),
            _ => {
                world.add(prism(at, Vector::new(size * 2.0, size, size * 2.0), random.between(0.0, TAU), 1.0), material)
            }
        }
    });
    let count = random.below(8);
    scatter(world, count, 6.0, random, person);
    let leaves = foliage(random);
    let count = random.below(8);
    scatter(world, count, 10.0, random, |world, at, random| tree(world, at, random, leaves));
    let count = random.below(4);
    scatter(world, count, 8.0, random, |world, at, random| car(world, at, random.between(0.0, TAU), random));
}

fn mountains(world: &mut World, random: &mut Stream) {
    world.far = random.log_between(300.0, 900.0);
    world.camera.pitch = random.between(-0.05, 0.16);
    let mut distance = random.between(120.0, 260.0);
    let mut higher = Vec::new();
    for _ in 0..3 + random.below(3) {
        let main = if random.chance(0.5) { stone(random) * 0.6 } else { foliage(random).main };
        let material = Material::new(Pattern::Rough, main, main * 0.5, distance * 0.04, random);
        let height = distance * random.between(0.15, 0.5);
        let snow = random.chance(0.4).then(|| height * random.between(0.5, 0.8));
        higher.push(Ridge {
            distance,
            height,
            roughness: random.between(0.4, 0.9),
            material,
            snow,
            seed: random.seed(),
        });
        distance *= random.between(1.3, 1.8);
    }
    if let Backdrop::Land { ridges, .. } = &mut world.backdrop {
        *ridges = higher;
    }
    let patch = growth(random);
    ground(world).patch = Some((patch, random.between(10.0, 60.0)));
    let leaves = foliage(random);
    let count = 10 + random.below(40);
    scatter(world, count, 10.0, random, |world, at, random| tree(world, at, random, leaves));
    let count = 3 + random.below(10);
    scatter(world, count, 4.0, random, rock);
}

/// Blocks of houses, from a hill or a tower.
fn town(world: &mut World, random: &mut Stream) {
    world.far = random.log_between(200.0, 500.0);
    world.camera.at.y = random.between(22.0, 60.0);
    world.camera.pitch = random.between(-0.6, -0.2);
    let (street, block) = (random.between(8.0, 14.0), random.between(14.0, 24.0));
    let leaves = foliage(random);
    let tall = random.log_between(8.0, 30.0);
    ground(world).field = paving(random);
    let pitch = street + block;
    for row in 0..8 {
        for column in -4..4 {
            let z = 26.0 + pitch * row as f32;
            let at = Vector::new(pitch * (column as f32 + 0.5), 0.0, z);
            if at.x.abs() > z * 1.1 + 20.0 {
                continue;
            }
            if random.chance(0.15) {
                for _ in 0..3 {
                    let beside = Vector::new(random.between(-0.4, 0.4), 0.0, random.between(-0.4, 0.4)) * block;
                    tree(world, at + beside, random, leaves);
                }
                continue;
            }
            let size = Vector::new(
                block * random.between(0.6, 1.0),
                tall * random.log_between(0.4, 1.8),
                block * random.between(0.6, 1.0),
            );
            let face = wall(random);
            world.add(cuboid(at, size, 0.0), face);
            if random.chance(0.4) {
                let top = at + Vector::new(0.0, size.y, 0.0);
                let box_size = Vector::new(size.x * 0.4, 2.5, size.z * 0.3);
                let material = wall(random);
                world.add(cuboid(top, box_size, 0.0), material);
            }
            if random.chance(0.5) {
                let beside = at + Vector::new(block * 0.5 + street * 0.4, 0.0, random.between(-6.0, 6.0));
                car(world, beside, 0.0, random);
            }
        }
    }
}
