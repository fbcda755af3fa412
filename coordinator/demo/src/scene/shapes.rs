//! What stands in a scene, and where a ray meets it. Metres; y is up. Knows no colours.

use nalgebra::Vector3;

use crate::random::{fractal, noise};

pub(crate) type Vector = Vector3<f32>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ray {
    pub(crate) from: Vector,
    /// Of length 1.
    pub(crate) along: Vector,
}

impl Ray {
    pub(crate) fn at(&self, t: f32) -> Vector {
        self.from + self.along * t
    }
}

/// Where a ray meets a shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// Metres along the ray.
    pub(crate) t: f32,
    pub(crate) normal: Vector,
    /// Metres over the surface, sideways and up.
    pub(crate) uv: (f32, f32),
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// What is behind all planes (outward normal, distance from `centre`): boxes, roofs, pyramids.
    Convex {
        centre: Vector,
        planes: Vec<(Vector, f32)>,
    },
    Sphere {
        centre: Vector,
        radius: f32,
    },
    /// Upright; without a cap below.
    Cylinder {
        base: Vector,
        radius: f32,
        height: f32,
    },
    /// Foliage: a card that faces whoever looks, ragged by noise.
    Tree {
        base: Vector,
        crown: Crown,
        seed: u32,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Crown {
    pub(crate) conifer: bool,
    /// Half of the width.
    pub(crate) radius: f32,
    /// Of the crown above the ground.
    pub(crate) low: f32,
    pub(crate) high: f32,
    /// Half of the trunk's width; 0 for a bush.
    pub(crate) trunk: f32,
}

/// A box with its base's centre at `base`, turned about the upright.
pub(crate) fn cuboid(base: Vector, size: Vector, yaw: f32) -> Shape {
    prism(base, size, yaw, 0.0)
}

/// A box whose top is a gabled roof of this slope (0: flat); `size.y` is the height of the ridge.
pub(crate) fn prism(base: Vector, size: Vector, yaw: f32, slope: f32) -> Shape {
    let (sin, cos) = (libm::sinf(yaw), libm::cosf(yaw));
    let turned = |x: f32, y: f32, z: f32| Vector::new(cos * x + sin * z, y, cos * z - sin * x);
    let half = size * 0.5;
    let mut planes = vec![
        (turned(1.0, 0.0, 0.0), half.x),
        (turned(-1.0, 0.0, 0.0), half.x),
        (turned(0.0, 0.0, 1.0), half.z),
        (turned(0.0, 0.0, -1.0), half.z),
        (Vector::new(0.0, -1.0, 0.0), half.y),
    ];
    if slope == 0.0 {
        planes.push((Vector::y(), half.y));
    } else {
        let length = (1.0 + slope * slope).sqrt();
        planes.extend([1.0, -1.0].map(|side| (turned(side * slope, 1.0, 0.0) / length, half.y / length)));
    }
    Shape::Convex { centre: base + Vector::new(0.0, half.y, 0.0), planes }
}

impl Shape {
    /// A sphere that holds it.
    pub(crate) fn bound(&self) -> (Vector, f32) {
        match self {
            Shape::Convex { centre, planes } => {
                let widest = |axis: usize| {
                    let along = |(normal, d): &(Vector, f32)| if normal[axis].abs() > 0.999 { *d } else { 0.0 };
                    planes.iter().map(along).fold(0.0, f32::max)
                };
                // The first two pairs of planes are the sides, whichever way they are turned.
                let (x, y, z) = (planes[0].1, widest(1), planes[2].1);
                (*centre, (x * x + y * y + z * z).sqrt())
            }
            Shape::Sphere { centre, radius } => (*centre, *radius),
            Shape::Cylinder { base, radius, height } => {
                (base + Vector::new(0.0, height / 2.0, 0.0), (radius * radius + height * height / 4.0).sqrt())
            }
            Shape::Tree { base, crown, .. } => {
                let (half, wide) = (crown.high / 2.0, crown.radius * 1.3);
                (base + Vector::new(0.0, half, 0.0), (half * half + wide * wide).sqrt())
            }
        }
    }

    /// The nearest meeting in front of the ray's start; one beyond `reach` need not be found.
    pub(crate) fn hit(&self, ray: &Ray, reach: f32) -> Option<Hit> {
        match self {
            Shape::Convex { centre, planes } => convex(centre, planes, ray),
            Shape::Sphere { centre, radius } => {
                let to = ray.from - centre;
                let (b, c) = (to.dot(&ray.along), to.norm_squared() - radius * radius);
                let root = (b * b - c).max(-1.0);
                let t = -b - root.max(0.0).sqrt();
                (root >= 0.0 && t > 1e-3).then(|| {
                    let normal = (ray.at(t) - centre) / *radius;
                    let around = libm::atan2f(normal.x, normal.z);
                    Hit { t, normal, uv: (around * radius, libm::asinf(normal.y.clamp(-1.0, 1.0)) * radius) }
                })
            }
            Shape::Cylinder { base, radius, height } => cylinder(base, *radius, *height, ray),
            Shape::Tree { base, crown, seed } => tree(base, crown, *seed, (ray, reach)),
        }
    }
}

fn convex(centre: &Vector, planes: &[(Vector, f32)], ray: &Ray) -> Option<Hit> {
    let from = ray.from - centre;
    let (mut enter, mut leave, mut normal) = (1e-3_f32, f32::INFINITY, Vector::zeros());
    for (out, d) in planes {
        let (speed, gap) = (out.dot(&ray.along), d - out.dot(&from));
        if speed.abs() < 1e-9 {
            if gap < 0.0 {
                return None;
            }
        } else if speed < 0.0 {
            if gap / speed > enter {
                (enter, normal) = (gap / speed, *out);
            }
        } else {
            leave = leave.min(gap / speed);
        }
        if enter > leave {
            return None;
        }
    }
    if normal == Vector::zeros() {
        return None; // from inside
    }
    let local = ray.at(enter) - centre;
    let bottom = planes[4].1;
    let uv = if normal.y > 0.95 {
        (local.dot(&planes[0].0), local.dot(&planes[2].0))
    } else {
        let side = Vector::y().cross(&normal).normalize();
        let up = normal.cross(&side);
        (local.dot(&side), if normal.y.abs() < 0.05 { local.y + bottom } else { local.dot(&up) })
    };
    Some(Hit { t: enter, normal, uv })
}

fn cylinder(base: &Vector, radius: f32, height: f32, ray: &Ray) -> Option<Hit> {
    let to = ray.from - base;
    let a = ray.along.x * ray.along.x + ray.along.z * ray.along.z;
    let b = to.x * ray.along.x + to.z * ray.along.z;
    let root = b * b - a * (to.x * to.x + to.z * to.z - radius * radius);
    if root < 0.0 || a < 1e-9 {
        return None;
    }
    let t = (-b - root.sqrt()) / a;
    let local = to + ray.along * t;
    if t > 1e-3 && (0.0..=height).contains(&local.y) {
        let normal = Vector::new(local.x / radius, 0.0, local.z / radius);
        return Some(Hit { t, normal, uv: (libm::atan2f(normal.x, normal.z) * radius, local.y) });
    }
    let t = (height - to.y) / ray.along.y;
    let local = to + ray.along * t;
    (t > 1e-3 && ray.along.y < 0.0 && local.x * local.x + local.z * local.z < radius * radius).then_some(Hit {
        t,
        normal: Vector::y(),
        uv: (local.x, local.z),
    })
}

fn tree(base: &Vector, crown: &Crown, seed: u32, (ray, reach): (&Ray, f32)) -> Option<Hit> {
    let level = (ray.along.x * ray.along.x + ray.along.z * ray.along.z).sqrt();
    if level < 1e-3 {
        return None;
    }
    let (dx, dz) = (ray.along.x / level, ray.along.z / level);
    let to = base - ray.from;
    let t = (to.x * dx + to.z * dz) / level;
    // Its nearest leaves stand half of its radius before the card.
    if t < 1e-3 || t - 0.5 * crown.radius > reach {
        return None;
    }
    let (u, v) = (to.x * dz - to.z * dx, ray.at(t).y - base.y);
    let (middle, half) = ((crown.low + crown.high) / 2.0, (crown.high - crown.low) / 2.0);
    let (x, y) = (u / crown.radius, (v - middle) / half);
    if v < 0.0 || x.abs() > 1.3 || y > if crown.conifer { 1.0 } else { 1.2 } {
        return None;
    }
    let round = x * x + y * y;
    let is_trunk = crown.trunk > 0.0 && u.abs() < crown.trunk && v < crown.low + 0.5 * half;
    if !crown.conifer && round > 1.45 && !is_trunk {
        return None;
    }
    let ragged = 0.35 * fractal(u * 0.9, v * 0.9, 3, 0.0, seed) + 0.15 * noise(u * 9.0, v * 9.0, seed ^ 7);
    let outside = if crown.conifer {
        // Branches hang in tiers.
        let tier = (v * 1.6 + u.abs() * 0.6).rem_euclid(1.0) * 0.25;
        if y < -1.0 { 1.0 } else { x.abs() / ((1.0 - y) * 0.5 + 0.04) - 1.0 + tier + ragged * 0.6 }
    } else {
        round - 0.85 + ragged
    };
    let forward = Vector::new(-dx, 0.0, -dz);
    let side = Vector::new(-dz, 0.0, dx);
    if outside < 0.0 && 0.5 + 0.5 * noise(u * 5.0, v * 5.0, seed ^ 3) + 0.6 * -outside > 0.28 {
        let bulge = (1.0 - round.min(1.0)).sqrt();
        let lean = 0.9 * fractal(u * 1.7, v * 1.7, 2, 0.0, seed ^ 5);
        let normal = (forward * (bulge + 0.3) + side * (x + lean) + Vector::y() * (0.7 * y + 0.4 + lean)).normalize();
        let t = (t - 0.5 * bulge * crown.radius).max(1e-3);
        return Some(Hit { t, normal, uv: (u, v) });
    }
    is_trunk.then(|| {
        let x = u / crown.trunk;
        Hit { t, normal: forward * (1.0 - x * x).max(0.0).sqrt() + side * x, uv: (u, -v) }
    })
}
