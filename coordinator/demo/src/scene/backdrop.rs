//! What is behind all bodies: ground, water, hills and sky outdoors, the walls of a room indoors.

use super::materials::Material;
use super::shapes::{Ray, Vector};
use super::{Seen, Surface, World};
use crate::plane::{power, smoothstep};
use crate::random::{fractal, noise};

pub(super) enum Backdrop {
    Land { ground: Ground, ridges: Vec<Ridge>, sky: Sky },
    Room(Room),
}

pub(super) struct Ground {
    pub(super) field: Material,
    /// Of other growth or soil, in patches of so many metres.
    pub(super) patch: Option<(Material, f32)>,
    pub(super) road: Option<Road>,
    pub(super) water: Option<Water>,
}

/// It goes away from the camera.
pub(super) struct Road {
    pub(super) middle: f32,
    pub(super) half_width: f32,
    /// Sideways per square metre.
    pub(super) bend: f32,
    pub(super) surface: Material,
    pub(super) side: Material,
    pub(super) marked: bool,
}

pub(super) struct Water {
    /// From the camera to its shores.
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) colour: Vector,
    pub(super) ripple: f32,
    pub(super) seed: u32,
}

pub(super) struct Ridge {
    pub(super) distance: f32,
    pub(super) height: f32,
    pub(super) roughness: f32,
    pub(super) material: Material,
    /// White from this height on.
    pub(super) snow: Option<f32>,
    pub(super) seed: u32,
}

pub(super) struct Sky {
    pub(super) zenith: Vector,
    pub(super) horizon: Vector,
    pub(super) sun: Vector,
    pub(super) glow: Vector,
    /// 0 none, 1 overcast.
    pub(super) cover: f32,
    pub(super) seed: u32,
}

/// From `-half.x` to `half.x`, from the floor to `half.y`, from `-half.z` (behind the camera) to `half.z`.
pub(super) struct Room {
    pub(super) half: Vector,
    /// Left and right, floor and ceiling, back and front.
    pub(super) walls: [Material; 6],
}

impl Backdrop {
    /// Metres to what is solid.
    pub(super) fn distance(&self, ray: &Ray) -> f32 {
        match self {
            Backdrop::Land { .. } if ray.along.y < 0.0 => -ray.from.y / ray.along.y,
            Backdrop::Land { .. } => f32::INFINITY,
            Backdrop::Room(room) => room.meet(ray).0,
        }
    }

    pub(super) fn look(&self, world: &World, ray: &Ray, footprint: f32, mirrors: u32) -> Seen {
        match self {
            Backdrop::Room(room) => room.look(world, ray, footprint),
            Backdrop::Land { ground, ridges, sky } => {
                let t = self.distance(ray);
                if let Some(seen) = ridges.iter().find_map(|ridge| ridge.look(world, ray, t, footprint)) {
                    return seen;
                }
                if t.is_finite() && t < 4000.0 {
                    return ground.look(world, ray, t, footprint, mirrors);
                }
                Seen { colour: sky.colour(ray), t: f32::INFINITY }
            }
        }
    }
}

impl Ground {
    fn look(&self, world: &World, ray: &Ray, t: f32, footprint: f32, mirrors: u32) -> Seen {
        let at = ray.at(t);
        // On the ground a pixel is long: its area counts.
        let footprint = footprint * t / (-ray.along.y).max(0.05).sqrt();
        if let Some(water) = &self.water
            && water.covers(&at)
        {
            return water.look(world, ray, t, footprint, mirrors);
        }
        let place = (at.x, at.z);
        let colour = match self.road.as_ref().and_then(|road| road.colour(&at, footprint)) {
            Some(colour) => colour,
            None => {
                let field = self.field.colour(place, footprint);
                match &self.patch {
                    Some((patch, size)) => {
                        let share = smoothstep(0.0, 0.12, fractal(at.x / size, at.z / size, 3, 0.0, patch.seed ^ 9));
                        field + (patch.colour(place, footprint) - field) * share
                    }
                    None => field,
                }
            }
        };
        let seed = self.field.seed;
        let lean = |shift: f32| 0.12 * fractal(at.x * 0.15 + shift, at.z * 0.15, 3, footprint * 0.15, seed);
        let normal = Vector::new(lean(0.0), 1.0, lean(50.0)).normalize();
        Seen { colour: world.lit(ray, &Surface { t, normal, colour, gloss: 0.0, thin: None }), t }
    }
}

impl Road {
    /// Sideways from its middle.
    pub(super) fn offset(&self, x: f32, z: f32) -> f32 {
        x - self.middle - self.bend * z * z
    }

    fn colour(&self, at: &Vector, footprint: f32) -> Option<Vector> {
        let offset = self.offset(at.x, at.z);
        let beside = offset.abs() - self.half_width;
        if beside > 2.0 {
            return None;
        }
        if beside > 0.0 {
            return Some(self.side.colour((offset, at.z), footprint));
        }
        let surface = self.surface.colour((offset, at.z), footprint);
        let dashed = offset.abs() < 0.09 && (at.z / 6.0).rem_euclid(1.0) < 0.5;
        let edge = (beside + 0.3).abs() < 0.08;
        Some(if self.marked && (dashed || edge) { Vector::repeat(0.65) } else { surface })
    }
}

impl Water {
    pub(super) fn covers(&self, at: &Vector) -> bool {
        let shore = 4.0 * fractal(at.x * 0.07, 0.0, 3, 0.0, self.seed) + 0.3 * noise(at.x * 1.3, at.z * 0.4, self.seed);
        at.z > self.from + shore && at.z < self.to + 3.0 * shore
    }

    fn look(&self, world: &World, ray: &Ray, t: f32, footprint: f32, mirrors: u32) -> Seen {
        let at = ray.at(t);
        let wave = |shift: f32| self.ripple * fractal(at.x * 0.7 + shift, at.z * 1.6, 3, footprint, self.seed ^ 21);
        let normal = Vector::new(wave(0.0), 1.0, wave(70.0)).normalize();
        let facing = -normal.dot(&ray.along);
        let mut along = ray.along + normal * (2.0 * facing);
        along.y = along.y.abs().max(0.01);
        let mirrored = if mirrors > 0 {
            let mirror = Ray { from: at, along: along.normalize() };
            world.look(&mirror, world.nearest(&mirror, 0..world.bodies.len()), footprint / t, 0).colour
        } else {
            self.colour
        };
        let share = 0.04 + 0.85 * power(1.0 - facing.clamp(0.0, 1.0), 4);
        let light = (world.light.colour + world.light.ambient.0) * 0.6;
        Seen { colour: self.colour.component_mul(&light) * (1.0 - share) + mirrored * share, t }
    }
}

impl Ridge {
    /// If the ray meets it before the ground, `ground` metres away.
    fn look(&self, world: &World, ray: &Ray, ground: f32, footprint: f32) -> Option<Seen> {
        let t = (self.distance - ray.from.z) / ray.along.z;
        if ray.along.z <= 0.05 || t > ground {
            return None;
        }
        let at = ray.at(t);
        let scale = 1.0 / (self.height * 3.0 + 20.0);
        let top = self.height
            * (0.6 + self.roughness * fractal(at.x * scale, self.distance, 6, footprint * t * scale, self.seed));
        if at.y > top {
            return None;
        }
        let footprint = footprint * t;
        let lean = |u: f32, v: f32| {
            fractal((at.x + u) * scale * 2.5, (at.y + v) * scale * 4.0, 5, footprint * scale * 4.0, self.seed ^ 3)
        };
        let step = 0.08 / scale;
        let (here, right, above) = (lean(0.0, 0.0), lean(step, 0.0), lean(0.0, step));
        let normal = Vector::new((here - right) * 1.2, 0.7 + (above - here) * 0.5, -0.8).normalize();
        let mut colour = self.material.colour((at.x, at.y * 1.7), footprint);
        if let Some(snow) = self.snow {
            let white = smoothstep(snow, snow * 1.15, at.y + self.height * 0.25 * here);
            colour += (Vector::repeat(0.8) - colour) * white;
        }
        // What is higher lies farther back.
        let back = 1.0 + 0.25 * (at.y / self.height.max(1.0)).max(0.0) + 0.08 * here;
        Some(Seen { colour: world.lit(ray, &Surface { t, normal, colour, gloss: 0.0, thin: None }), t: t * back })
    }
}

impl Sky {
    fn colour(&self, ray: &Ray) -> Vector {
        let up = ray.along.y.max(0.0);
        let clear = self.horizon + (self.zenith - self.horizon) * (1.0 - power(1.0 - up, 4));
        let clear = clear + self.glow * power(ray.along.dot(&self.sun).max(0.0), 12);
        let (x, z) = (ray.along.x / (up + 0.12), ray.along.z / (up + 0.12));
        let dense = fractal(x * 0.7, z * 0.7, 6, 0.0, self.seed);
        let share = smoothstep(0.9 - 1.4 * self.cover, 1.3 - 1.2 * self.cover, dense + 0.5)
            * (0.4 + 0.6 * smoothstep(0.0, 0.25, up));
        let lit = 0.75 + 0.35 * fractal(x * 1.1 + 0.3, z * 1.1, 5, 0.0, self.seed ^ 77);
        let white = (self.horizon * 0.35 + Vector::repeat(0.62)) * lit;
        clear + (white - clear) * share
    }
}

impl Room {
    /// Metres to the wall that is met, and its number.
    fn meet(&self, ray: &Ray) -> (f32, usize) {
        let mut found = (f32::INFINITY, 0);
        for axis in 0..3 {
            let speed = ray.along[axis];
            let (low, high) = (if axis == 1 { 0.0 } else { -self.half[axis] }, self.half[axis]);
            let t = (if speed > 0.0 { high } else { low } - ray.from[axis]) / speed;
            if t < found.0 {
                found = (t, 2 * axis + usize::from(speed > 0.0));
            }
        }
        found
    }

    fn look(&self, world: &World, ray: &Ray, footprint: f32) -> Seen {
        let (t, wall) = self.meet(ray);
        let at = ray.at(t);
        let mut normal = Vector::zeros();
        normal[wall / 2] = if wall.is_multiple_of(2) { 1.0 } else { -1.0 };
        let uv = match wall / 2 {
            0 => (at.z, at.y),
            1 => (at.x, at.z),
            _ => (at.x, at.y),
        };
        let material = &self.walls[wall];
        let mut colour = material.colour(uv, footprint * t);
        if wall / 2 != 1 && at.y < 0.1 {
            colour = Vector::repeat(0.55); // skirting board
        }
        // Corners see less of the room.
        let mut open: f32 = 1.0;
        for axis in 0..3 {
            if axis != wall / 2 {
                let low = if axis == 1 { 0.0 } else { -self.half[axis] };
                open = open.min(0.6 + 0.5 * (at[axis] - low).min(self.half[axis] - at[axis]));
            }
        }
        Seen { colour: world.lit(ray, &Surface { t, normal, colour, gloss: material.gloss, thin: None }) * open, t }
    }
}
