//! The contents of a scene: bodies, backdrop, light and camera. Lengths are in metres; y points up. Light is linear.

use super::material::Material;
use super::shape::{Shape, Vector};

pub(super) struct World {
    pub(super) kind: &'static str,
    pub(super) bodies: Vec<Body>,
    pub(super) backdrop: Backdrop,
    pub(super) light: Light,
    pub(super) camera: Camera,
    /// The largest distance in metres from which haze no longer grows.
    pub(super) far: f32,
}

impl World {
    pub(super) fn add(&mut self, shape: Shape, material: Material) {
        let bound = shape.bounding_sphere();
        self.bodies.push(Body { shape, material, bound });
    }
}

pub(super) struct Body {
    pub(super) shape: Shape,
    pub(super) material: Material,
    /// The centre and radius of a sphere that contains the body.
    pub(super) bound: (Vector, f32),
}

/// A camera that looks along z.
pub(super) struct Camera {
    pub(super) position: Vector,
    /// The slope of the centre of view; negative if the camera looks down.
    pub(super) pitch: f32,
    /// Half of the width of the view at a distance of 1.
    pub(super) half_width: f32,
}

pub(super) enum Source {
    /// The direction towards the sun.
    Sun(Vector),
    /// The position of a lamp.
    Lamp(Vector),
}

pub(super) struct Light {
    pub(super) source: Source,
    pub(super) colour: Vector,
    /// The ambient light from above and from below.
    pub(super) ambient: (Vector, Vector),
}

/// A lit point of a surface.
pub(super) struct Surface {
    /// The distance along the ray.
    pub(super) t: f32,
    pub(super) normal: Vector,
    /// The reflectance.
    pub(super) colour: Vector,
    pub(super) gloss: f32,
    /// A body that casts no shadow on this surface: foliage is a card that faces each ray and would shade itself.
    pub(super) unshaded_by: Option<usize>,
}

/// The colour and distance that a ray sees.
pub(super) struct Sample {
    pub(super) colour: Vector,
    pub(super) t: f32,
}

/// The backdrop behind all bodies.
pub(super) enum Backdrop {
    Land { ground: Ground, ridges: Vec<Ridge>, sky: Sky },
    Room(Room),
}

pub(super) struct Ground {
    pub(super) field: Material,
    /// Patches of another growth or soil, and their size in metres.
    pub(super) patch: Option<(Material, f32)>,
    pub(super) road: Option<Road>,
    pub(super) water: Option<Water>,
}

/// A road that leads away from the camera.
pub(super) struct Road {
    pub(super) middle: f32,
    pub(super) half_width: f32,
    /// The sideways offset in metres per squared metre of distance.
    pub(super) bend: f32,
    pub(super) surface: Material,
    pub(super) side: Material,
    pub(super) marked: bool,
}

pub(super) struct Water {
    /// The distances of the near and the far shore from the camera.
    pub(super) near_shore: f32,
    pub(super) far_shore: f32,
    pub(super) colour: Vector,
    pub(super) ripple: f32,
    pub(super) seed: u32,
}

pub(super) struct Ridge {
    pub(super) distance: f32,
    pub(super) height: f32,
    pub(super) roughness: f32,
    pub(super) material: Material,
    /// The height of the snow line.
    pub(super) snow: Option<f32>,
    pub(super) seed: u32,
}

pub(super) struct Sky {
    pub(super) zenith: Vector,
    pub(super) horizon: Vector,
    pub(super) sun: Vector,
    pub(super) glow: Vector,
    /// The cloud cover, from 0 to 1.
    pub(super) cover: f32,
    pub(super) seed: u32,
}

/// A room from `-half.x` to `half.x`, from the floor to `half.y`, and from `-half.z`, behind the camera, to `half.z`.
pub(super) struct Room {
    pub(super) half: Vector,
    /// Left and right, floor and ceiling, back and front.
    pub(super) walls: [Material; 6],
}
