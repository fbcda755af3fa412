//! Renders what lies behind all bodies: ground, water, hills and sky outdoors, and the walls of a room indoors.

use super::shape::{Ray, Vector};
use super::world::{Backdrop, Ground, Ridge, Road, Room, Sample, Sky, Surface, Water, World};
use crate::noise::{fractal_noise, value_noise};
use crate::pixels::{power, smoothstep};

impl Backdrop {
    /// Returns the distance in metres to the ground or a wall.
    pub(super) fn distance(&self, ray: &Ray) -> f32 {
        match self {
            Backdrop::Land { .. } if ray.direction.y < 0.0 => -ray.origin.y / ray.direction.y,
            Backdrop::Land { .. } => f32::INFINITY,
            Backdrop::Room(room) => room.hit(ray).0,
        }
    }

    pub(super) fn sample(&self, world: &World, ray: &Ray, footprint: f32, reflections: u32) -> Sample {
        match self {
            Backdrop::Room(room) => room.sample(world, ray, footprint),
            Backdrop::Land { ground, ridges, sky } => {
                let t = self.distance(ray);
                let ridge_sample = |ridge: &Ridge| ridge.sample(world, ray, t, footprint);
                if let Some(sample) = ridges.iter().find_map(ridge_sample) {
                    return sample;
                }
                if t.is_finite() && t < 4000.0 {
                    return ground.sample(world, ray, t, footprint, reflections);
                }
                Sample { colour: sky.colour(ray), t: f32::INFINITY }
            }
        }
    }
}

impl Ground {
    fn sample(&self, world: &World, ray: &Ray, t: f32, footprint: f32, reflections: u32) -> Sample {
        let point = ray.point(t);
        // A pixel covers a long strip of the ground: its size is the root of the area.
        let footprint = footprint * t / (-ray.direction.y).max(0.05).sqrt();
        if let Some(water) = &self.water
            && water.covers(&point)
        {
            return water.sample(world, ray, t, footprint, reflections);
        }
        let position = (point.x, point.z);
        let colour = match self.road.as_ref().and_then(|road| road.colour(&point, footprint)) {
            Some(colour) => colour,
            None => {
                let field = self.field.colour(position, footprint);
                match &self.patch {
                    Some((patch, size)) => {
                        let share = smoothstep(
                            0.0,
                            0.12,
                            fractal_noise(point.x / size, point.z / size, 3, 0.0, patch.seed ^ 9),
                        );
                        field + (patch.colour(position, footprint) - field) * share
                    }
                    None => field,
                }
            }
        };
        let seed = self.field.seed;
        let slope =
            |shift: f32| 0.12 * fractal_noise(point.x * 0.15 + shift, point.z * 0.15, 3, footprint * 0.15, seed);
        let normal = Vector::new(slope(0.0), 1.0, slope(50.0)).normalize();
        let surface = Surface { t, normal, colour, gloss: 0.0, unshaded_by: None };
        Sample { colour: world.illuminate(ray, &surface), t }
    }
}

impl Road {
    /// Returns the sideways offset from the middle of the road.
    pub(super) fn offset(&self, x: f32, z: f32) -> f32 {
        x - self.middle - self.bend * z * z
    }

    fn colour(&self, point: &Vector, footprint: f32) -> Option<Vector> {
        let offset = self.offset(point.x, point.z);
        let beyond_edge = offset.abs() - self.half_width;
        if beyond_edge > 2.0 {
            return None;
        }
        if beyond_edge > 0.0 {
            return Some(self.side.colour((offset, point.z), footprint));
        }
        let surface = self.surface.colour((offset, point.z), footprint);
        let dashed = offset.abs() < 0.09 && (point.z / 6.0).rem_euclid(1.0) < 0.5;
        let edge = (beyond_edge + 0.3).abs() < 0.08;
        Some(if self.marked && (dashed || edge) { Vector::repeat(0.65) } else { surface })
    }
}

impl Water {
    pub(super) fn covers(&self, point: &Vector) -> bool {
        let shore = 4.0 * fractal_noise(point.x * 0.07, 0.0, 3, 0.0, self.seed)
            + 0.3 * value_noise(point.x * 1.3, point.z * 0.4, self.seed);
        point.z > self.near_shore + shore && point.z < self.far_shore + 3.0 * shore
    }

    fn sample(&self, world: &World, ray: &Ray, t: f32, footprint: f32, reflections: u32) -> Sample {
        let point = ray.point(t);
        let wave = |shift: f32| {
            self.ripple * fractal_noise(point.x * 0.7 + shift, point.z * 1.6, 3, footprint, self.seed ^ 21)
        };
        let normal = Vector::new(wave(0.0), 1.0, wave(70.0)).normalize();
        let cosine = -normal.dot(&ray.direction);
        let mut direction = ray.direction + normal * (2.0 * cosine);
        direction.y = direction.y.abs().max(0.01);
        let reflected = if reflections > 0 {
            let mirror = Ray { origin: point, direction: direction.normalize() };
            let nearest = world.nearest_body(&mirror, 0..world.bodies.len());
            world.sample(&mirror, nearest, footprint / t, 0).colour
        } else {
            self.colour
        };
        let share = 0.04 + 0.85 * power(1.0 - cosine.clamp(0.0, 1.0), 4);
        let light = (world.light.colour + world.light.ambient.0) * 0.6;
        Sample { colour: self.colour.component_mul(&light) * (1.0 - share) + reflected * share, t }
    }
}

impl Ridge {
    /// Returns what the ray sees if it hits the ridge before the ground, which is `ground_distance` metres away.
    fn sample(&self, world: &World, ray: &Ray, ground_distance: f32, footprint: f32) -> Option<Sample> {
        let t = (self.distance - ray.origin.z) / ray.direction.z;
        if ray.direction.z <= 0.05 || t > ground_distance {
            return None;
        }
        let point = ray.point(t);
        let scale = 1.0 / (self.height * 3.0 + 20.0);
        let top = self.height
            * (0.6
                + self.roughness * fractal_noise(point.x * scale, self.distance, 6, footprint * t * scale, self.seed));
        if point.y > top {
            return None;
        }
        let footprint = footprint * t;
        let relief = |u: f32, v: f32| {
            fractal_noise(
                (point.x + u) * scale * 2.5,
                (point.y + v) * scale * 4.0,
                5,
                footprint * scale * 4.0,
                self.seed ^ 3,
            )
        };
        let step = 0.08 / scale;
        let (centre, right, above) = (relief(0.0, 0.0), relief(step, 0.0), relief(0.0, step));
        let normal = Vector::new((centre - right) * 1.2, 0.7 + (above - centre) * 0.5, -0.8).normalize();
        let mut colour = self.material.colour((point.x, point.y * 1.7), footprint);
        if let Some(snow) = self.snow {
            let white = smoothstep(snow, snow * 1.15, point.y + self.height * 0.25 * centre);
            colour += (Vector::repeat(0.8) - colour) * white;
        }
        // Higher parts of a ridge lie farther back.
        let setback = 1.0 + 0.25 * (point.y / self.height.max(1.0)).max(0.0) + 0.08 * centre;
        let surface = Surface { t, normal, colour, gloss: 0.0, unshaded_by: None };
        Some(Sample { colour: world.illuminate(ray, &surface), t: t * setback })
    }
}

impl Sky {
    fn colour(&self, ray: &Ray) -> Vector {
        let up = ray.direction.y.max(0.0);
        let clear = self.horizon + (self.zenith - self.horizon) * (1.0 - power(1.0 - up, 4));
        let clear = clear + self.glow * power(ray.direction.dot(&self.sun).max(0.0), 12);
        let (x, z) = (ray.direction.x / (up + 0.12), ray.direction.z / (up + 0.12));
        let dense = fractal_noise(x * 0.7, z * 0.7, 6, 0.0, self.seed);
        let share = smoothstep(0.9 - 1.4 * self.cover, 1.3 - 1.2 * self.cover, dense + 0.5)
            * (0.4 + 0.6 * smoothstep(0.0, 0.25, up));
        let lit = 0.75 + 0.35 * fractal_noise(x * 1.1 + 0.3, z * 1.1, 5, 0.0, self.seed ^ 77);
        let white = (self.horizon * 0.35 + Vector::repeat(0.62)) * lit;
        clear + (white - clear) * share
    }
}

impl Room {
    /// Returns the distance in metres to the wall that the ray hits, and the index of the wall.
    fn hit(&self, ray: &Ray) -> (f32, usize) {
        let mut found = (f32::INFINITY, 0);
        for axis in 0..3 {
            let speed = ray.direction[axis];
            let (low, high) = (if axis == 1 { 0.0 } else { -self.half[axis] }, self.half[axis]);
            let t = (if speed > 0.0 { high } else { low } - ray.origin[axis]) / speed;
            if t < found.0 {
                found = (t, 2 * axis + usize::from(speed > 0.0));
            }
        }
        found
    }

    fn sample(&self, world: &World, ray: &Ray, footprint: f32) -> Sample {
        let (t, wall) = self.hit(ray);
        let point = ray.point(t);
        let mut normal = Vector::zeros();
        normal[wall / 2] = if wall.is_multiple_of(2) { 1.0 } else { -1.0 };
        let uv = match wall / 2 {
            0 => (point.z, point.y),
            1 => (point.x, point.z),
            _ => (point.x, point.y),
        };
        let material = &self.walls[wall];
        let mut colour = material.colour(uv, footprint * t);
        if wall / 2 != 1 && point.y < 0.1 {
            colour = Vector::repeat(0.55); // skirting board
        }
        // Less of the room is visible from its corners.
        let mut openness: f32 = 1.0;
        for axis in 0..3 {
            if axis != wall / 2 {
                let low = if axis == 1 { 0.0 } else { -self.half[axis] };
                openness = openness.min(0.6 + 0.5 * (point[axis] - low).min(self.half[axis] - point[axis]));
            }
        }
        let surface = Surface { t, normal, colour, gloss: material.gloss, unshaded_by: None };
        Sample { colour: world.illuminate(ray, &surface) * openness, t }
    }
}
