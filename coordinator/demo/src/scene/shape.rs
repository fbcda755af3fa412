//! The shapes of a scene and their intersections with rays. Lengths are in metres; y points up. Shapes have no colours.

use nalgebra::Vector3;

use crate::noise::{fractal_noise, value_noise};

pub(crate) type Vector = Vector3<f32>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Ray {
    pub(crate) origin: Vector,
    /// A unit vector.
    pub(crate) direction: Vector,
}

impl Ray {
    pub(crate) fn point(&self, t: f32) -> Vector {
        self.origin + self.direction * t
    }
}

/// An intersection of a ray with a shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// The distance along the ray in metres.
    pub(crate) t: f32,
    pub(crate) normal: Vector,
    /// The position on the surface in metres, sideways and up.
    pub(crate) uv: (f32, f32),
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// The points behind all planes, each given as (outward normal, distance from `centre`): boxes, roofs, pyramids.
    Convex {
        centre: Vector,
        planes: Vec<(Vector, f32)>,
    },
    Sphere {
        centre: Vector,
        radius: f32,
    },
    /// A vertical cylinder without a cap at the bottom.
    Cylinder {
        base: Vector,
        radius: f32,
        height: f32,
    },
    /// Foliage: a card that faces the ray, with a ragged outline by noise.
    Tree {
        base: Vector,
        crown: Crown,
        seed: u32,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Crown {
    pub(crate) conifer: bool,
    /// Half of the width of the crown.
    pub(crate) radius: f32,
    /// The height of the bottom of the crown above the ground.
    pub(crate) low: f32,
    /// The height of the top of the crown above the ground.
    pub(crate) high: f32,
    /// Half of the width of the trunk; 0 for a bush.
    pub(crate) trunk: f32,
}

/// Creates a box whose base has its centre at `base`, rotated about the vertical axis by `yaw`.
pub(crate) fn cuboid(base: Vector, size: Vector, yaw: f32) -> Shape {
    prism(base, size, yaw, 0.0)
}

/// Creates a box whose top is a gabled roof with this slope, where 0 is flat; `size.y` is the height of the ridge.
pub(crate) fn prism(base: Vector, size: Vector, yaw: f32, slope: f32) -> Shape {
    let (sin, cos) = (libm::sinf(yaw), libm::cosf(yaw));
    let rotated = |x: f32, y: f32, z: f32| Vector::new(cos * x + sin * z, y, cos * z - sin * x);
    let half = size * 0.5;
    let mut planes = vec![
        (rotated(1.0, 0.0, 0.0), half.x),
        (rotated(-1.0, 0.0, 0.0), half.x),
        (rotated(0.0, 0.0, 1.0), half.z),
        (rotated(0.0, 0.0, -1.0), half.z),
        (Vector::new(0.0, -1.0, 0.0), half.y),
    ];
    if slope == 0.0 {
        planes.push((Vector::y(), half.y));
    } else {
        let length = (1.0 + slope * slope).sqrt();
        planes.extend([1.0, -1.0].map(|side| (rotated(side * slope, 1.0, 0.0) / length, half.y / length)));
    }
    Shape::Convex { centre: base + Vector::new(0.0, half.y, 0.0), planes }
}

impl Shape {
    /// Returns the centre and radius of a sphere that contains the shape.
    pub(crate) fn bounding_sphere(&self) -> (Vector, f32) {
        match self {
            Shape::Convex { centre, planes } => {
                let extent = |axis: usize| {
                    let plane_extent = |(normal, d): &(Vector, f32)| if normal[axis].abs() > 0.999 { *d } else { 0.0 };
                    planes.iter().map(plane_extent).fold(0.0, f32::max)
                };
                // The first two pairs of planes are the sides, however they are rotated.
                let (x, y, z) = (planes[0].1, extent(1), planes[2].1);
                (*centre, (x * x + y * y + z * z).sqrt())
            }
            Shape::Sphere { centre, radius } => (*centre, *radius),
            Shape::Cylinder { base, radius, height } => {
                (base + Vector::new(0.0, height / 2.0, 0.0), (radius * radius + height * height / 4.0).sqrt())
            }
            Shape::Tree { base, crown, .. } => {
                let (half_height, half_width) = (crown.high / 2.0, crown.radius * 1.3);
                let radius = (half_height * half_height + half_width * half_width).sqrt();
                (base + Vector::new(0.0, half_height, 0.0), radius)
            }
        }
    }

    /// Returns the nearest intersection in front of the ray's origin. One beyond `reach` may be missing.
    pub(crate) fn hit(&self, ray: &Ray, reach: f32) -> Option<Hit> {
        match self {
            Shape::Convex { centre, planes } => hit_convex(centre, planes, ray),
            Shape::Sphere { centre, radius } => {
                let offset = ray.origin - centre;
                let (b, c) = (offset.dot(&ray.direction), offset.norm_squared() - radius * radius);
                let discriminant = (b * b - c).max(-1.0);
                let t = -b - discriminant.max(0.0).sqrt();
                (discriminant >= 0.0 && t > 1e-3).then(|| {
                    let normal = (ray.point(t) - centre) / *radius;
                    let longitude = libm::atan2f(normal.x, normal.z);
                    Hit { t, normal, uv: (longitude * radius, libm::asinf(normal.y.clamp(-1.0, 1.0)) * radius) }
                })
            }
            Shape::Cylinder { base, radius, height } => hit_cylinder(base, *radius, *height, ray),
            Shape::Tree { base, crown, seed } => hit_tree(base, crown, *seed, (ray, reach)),
        }
    }
}

fn hit_convex(centre: &Vector, planes: &[(Vector, f32)], ray: &Ray) -> Option<Hit> {
    let origin = ray.origin - centre;
    let (mut enter, mut leave, mut normal) = (1e-3_f32, f32::INFINITY, Vector::zeros());
    for (outward, d) in planes {
        let (speed, gap) = (outward.dot(&ray.direction), d - outward.dot(&origin));
        if speed.abs() < 1e-9 {
            if gap < 0.0 {
                return None;
            }
        } else if speed < 0.0 {
            if gap / speed > enter {
                (enter, normal) = (gap / speed, *outward);
            }
        } else {
            leave = leave.min(gap / speed);
        }
        if enter > leave {
            return None;
        }
    }
    if normal == Vector::zeros() {
        return None; // the origin is inside
    }
    let local = ray.point(enter) - centre;
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

fn hit_cylinder(base: &Vector, radius: f32, height: f32, ray: &Ray) -> Option<Hit> {
    let offset = ray.origin - base;
    let a = ray.direction.x * ray.direction.x + ray.direction.z * ray.direction.z;
    let b = offset.x * ray.direction.x + offset.z * ray.direction.z;
    let discriminant = b * b - a * (offset.x * offset.x + offset.z * offset.z - radius * radius);
    if discriminant < 0.0 || a < 1e-9 {
        return None;
    }
    let t = (-b - discriminant.sqrt()) / a;
    let local = offset + ray.direction * t;
    if t > 1e-3 && (0.0..=height).contains(&local.y) {
        let normal = Vector::new(local.x / radius, 0.0, local.z / radius);
        return Some(Hit { t, normal, uv: (libm::atan2f(normal.x, normal.z) * radius, local.y) });
    }
    let t = (height - offset.y) / ray.direction.y;
    let local = offset + ray.direction * t;
    (t > 1e-3 && ray.direction.y < 0.0 && local.x * local.x + local.z * local.z < radius * radius).then_some(Hit {
        t,
        normal: Vector::y(),
        uv: (local.x, local.z),
    })
}

fn hit_tree(base: &Vector, crown: &Crown, seed: u32, (ray, reach): (&Ray, f32)) -> Option<Hit> {
    let level = (ray.direction.x * ray.direction.x + ray.direction.z * ray.direction.z).sqrt();
    if level < 1e-3 {
        return None;
    }
    let (dx, dz) = (ray.direction.x / level, ray.direction.z / level);
    let offset = base - ray.origin;
    let t = (offset.x * dx + offset.z * dz) / level;
    // The nearest leaves are half of the crown's radius in front of the card.
    if t < 1e-3 || t - 0.5 * crown.radius > reach {
        return None;
    }
    let (u, v) = (offset.x * dz - offset.z * dx, ray.point(t).y - base.y);
    let (middle, half) = ((crown.low + crown.high) / 2.0, (crown.high - crown.low) / 2.0);
    let (x, y) = (u / crown.radius, (v - middle) / half);
    if v < 0.0 || x.abs() > 1.3 || y > if crown.conifer { 1.0 } else { 1.2 } {
        return None;
    }
    let squared_radius = x * x + y * y;
    let is_trunk = crown.trunk > 0.0 && u.abs() < crown.trunk && v < crown.low + 0.5 * half;
    if !crown.conifer && squared_radius > 1.45 && !is_trunk {
        return None;
    }
    let raggedness =
        0.35 * fractal_noise(u * 0.9, v * 0.9, 3, 0.0, seed) + 0.15 * value_noise(u * 9.0, v * 9.0, seed ^ 7);
    let outside = if crown.conifer {
        // Branches hang in tiers.
        let tier = (v * 1.6 + u.abs() * 0.6).rem_euclid(1.0) * 0.25;
        if y < -1.0 { 1.0 } else { x.abs() / ((1.0 - y) * 0.5 + 0.04) - 1.0 + tier + raggedness * 0.6 }
    } else {
        squared_radius - 0.85 + raggedness
    };
    let forward = Vector::new(-dx, 0.0, -dz);
    let side = Vector::new(-dz, 0.0, dx);
    if outside < 0.0 && 0.5 + 0.5 * value_noise(u * 5.0, v * 5.0, seed ^ 3) + 0.6 * -outside > 0.28 {
        let bulge = (1.0 - squared_radius.min(1.0)).sqrt();
        let tilt = 0.9 * fractal_noise(u * 1.7, v * 1.7, 2, 0.0, seed ^ 5);
        let normal = (forward * (bulge + 0.3) + side * (x + tilt) + Vector::y() * (0.7 * y + 0.4 + tilt)).normalize();
        let t = (t - 0.5 * bulge * crown.radius).max(1e-3);
        return Some(Hit { t, normal, uv: (u, v) });
    }
    is_trunk.then(|| {
        let x = u / crown.trunk;
        Hit { t, normal: forward * (1.0 - x * x).max(0.0).sqrt() + side * x, uv: (u, -v) }
    })
}
