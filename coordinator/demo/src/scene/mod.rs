//! Scenes: what is seen without haze, and how far away it is. A small ray caster over analytic shapes; [`outdoors`] and
//! [`indoors`] say what stands where. It knows nothing of haze. A scene is a function of the seed and its number, at any size.

mod backdrop;
mod indoors;
mod materials;
mod outdoors;
mod shapes;
mod things;

use backdrop::Backdrop;
use materials::Material;
use shapes::{Hit, Ray, Shape, Vector};

use crate::plane::{Plane, Rgb, power};
use crate::random::Stream;

/// A picture without haze.
pub(crate) struct Scene {
    pub(crate) kind: &'static str,
    /// As a screen takes it, 0 to 1.
    pub(crate) clear: Rgb,
    /// From the camera, as a share of the farthest that counts: 0 to 1, and 1 for the sky.
    pub(crate) distance: Plane,
}

struct Body {
    shape: Shape,
    material: Material,
    /// A sphere that holds it.
    bound: (Vector, f32),
}

struct World {
    kind: &'static str,
    bodies: Vec<Body>,
    backdrop: Backdrop,
    light: Light,
    camera: Camera,
    /// Metres from which on haze grows no more, at most.
    far: f32,
}

struct Camera {
    /// Of its eye. It looks along z.
    at: Vector,
    /// Slope of the view's middle; below 0 it looks down.
    pitch: f32,
    /// Half of the view's width at a distance of 1.
    half_width: f32,
}

enum Source {
    /// Towards the sun.
    Sun(Vector),
    /// Where a lamp hangs.
    Lamp(Vector),
}

struct Light {
    source: Source,
    colour: Vector,
    /// From above and from below.
    ambient: (Vector, Vector),
}

/// What is lit.
struct Surface {
    t: f32,
    normal: Vector,
    /// What it reflects.
    colour: Vector,
    gloss: f32,
    /// A body that casts no shadow on itself: foliage, which is a card that faces each ray.
    thin: Option<usize>,
}

/// What a ray sees.
struct Seen {
    colour: Vector,
    t: f32,
}

/// Metres to the sky.
const BEYOND: f32 = 1e4;

/// Where in a pixel its rays go through.
const SAMPLES: [(f32, f32); 4] = [(0.125, 0.625), (0.375, 0.125), (0.625, 0.875), (0.875, 0.375)];

/// The scene of a number.
pub(crate) fn scene(seed: u64, number: u64, width: usize, height: usize) -> Scene {
    let mut random = Stream::new(seed, number, "scene");
    let world = if random.chance(0.3) { indoors::room(&mut random) } else { outdoors::place(&mut random) };
    let (light, metres) = world.render(width, height);
    // What is not sky reaches well into the haze, however near it stands.
    let near = Plane::from_values(metres.data.iter().copied().filter(|&t| t < 0.5 * BEYOND));
    let far = world.far.min(near.quantile(0.6) / random.between(0.25, 0.6));
    Scene { kind: world.kind, clear: developed(light, &mut random), distance: metres.map(|t| (t / far).min(1.0)) }
}

/// Light to picture: exposure by what is bright in the scene, a shoulder for highlights, sRGB's curve.
fn developed(light: Rgb, random: &mut Stream) -> Rgb {
    let (bright, saturation) = (random.between(0.55, 0.95), random.between(0.85, 1.25));
    let exposure = bright / light.luma().quantile(random.between(0.85, 0.97)).max(1e-3);
    light.map(|pixel| {
        let gray = crate::plane::luma(pixel);
        pixel.map(|value| {
            let value = ((gray + (value - gray) * saturation) * exposure).max(0.0);
            encoded(if value > 0.7 { 0.7 + 0.3 * (1.0 - libm::expf((0.7 - value) / 0.3)) } else { value })
        })
    })
}

/// Linear light as sRGB has it.
fn encoded(value: f32) -> f32 {
    if value <= 0.003_130_8 { 12.92 * value } else { 1.055 * libm::powf(value, 1.0 / 2.4) - 0.055 }
}

impl World {
    fn render(&self, width: usize, height: usize) -> (Rgb, Plane) {
        let count = width * height;
        let (mut colours, mut distances) = (vec![Vector::zeros(); count], vec![0.0; count]);
        let scale = 2.0 * self.camera.half_width / width as f32;
        for x in 0..width {
            let bodies = self.seen_in_column(scale * (x as f32 + 0.5 - width as f32 / 2.0), scale);
            for y in 0..height {
                let (mut colour, mut distance) = (Vector::zeros(), 0.0);
                for (dx, dy) in SAMPLES {
                    let right = scale * (x as f32 + dx - width as f32 / 2.0);
                    let up = self.camera.pitch - scale * (y as f32 + dy - height as f32 / 2.0);
                    let ray = Ray { from: self.camera.at, along: Vector::new(right, up, 1.0).normalize() };
                    let seen = self.look(&ray, self.nearest(&ray, bodies.iter().copied()), scale, 1);
                    colour += seen.colour / SAMPLES.len() as f32;
                    distance += seen.t.min(BEYOND) / SAMPLES.len() as f32;
                }
                (colours[y * width + x], distances[y * width + x]) = (colour, distance);
            }
        }
        let pixels = colours.into_iter().map(|colour| [colour.x, colour.y, colour.z]);
        (Rgb::from_pixels(width, height, pixels), Plane { width, height, data: distances })
    }

    /// Those that reach the upright plane through the eye and this column.
    fn seen_in_column(&self, right: f32, scale: f32) -> Vec<usize> {
        let across = Vector::new(1.0, 0.0, -right).normalize();
        let reaches = |body: &usize| {
            let (centre, radius) = self.bodies[*body].bound;
            let to = centre - self.camera.at;
            // A pixel is wide: what lies beside its middle counts.
            across.dot(&to).abs() < radius + scale * to.norm()
        };
        (0..self.bodies.len()).filter(reaches).collect()
    }

    /// What the ray meets first, of these.
    fn nearest(&self, ray: &Ray, bodies: impl Iterator<Item = usize>) -> Option<(Hit, usize)> {
        let mut found: Option<(Hit, usize)> = None;
        for number in bodies {
            let body = &self.bodies[number];
            let reach = found.map_or(f32::INFINITY, |(hit, _)| hit.t);
            if !passes(ray, body.bound)
                && let Some(hit) = body.shape.hit(ray, reach)
                && hit.t < reach
            {
                found = Some((hit, number));
            }
        }
        found
    }

    /// `found` is the nearest body; `footprint` what a pixel covers at a distance of 1.
    fn look(&self, ray: &Ray, found: Option<(Hit, usize)>, footprint: f32, mirrors: u32) -> Seen {
        match found {
            Some((hit, number)) if hit.t < self.backdrop.distance(ray) => {
                let Body { shape, material, .. } = &self.bodies[number];
                let colour = material.colour(hit.uv, footprint * hit.t);
                let thin = matches!(shape, Shape::Tree { .. }).then_some(number);
                let surface = Surface { t: hit.t, normal: hit.normal, colour, gloss: material.gloss, thin };
                Seen { colour: self.lit(ray, &surface), t: hit.t }
            }
            _ => self.backdrop.look(self, ray, footprint, mirrors),
        }
    }

    /// A surface's colour in this light.
    fn lit(&self, ray: &Ray, surface: &Surface) -> Vector {
        let Surface { t, normal, colour, gloss, thin } = *surface;
        let at = ray.at(t) + normal * 0.02;
        let (towards, reach, strength) = match self.light.source {
            Source::Sun(sun) => (sun, f32::INFINITY, 1.0),
            Source::Lamp(lamp) => {
                let to = lamp - at;
                let distance = to.norm();
                (to / distance, distance, 1.0 / (0.3 + 0.12 * distance * distance))
            }
        };
        let facing = normal.dot(&towards);
        let direct =
            if facing > 0.0 && !self.shaded(&Ray { from: at, along: towards }, reach, thin) { strength } else { 0.0 };
        let sky = 0.5 + 0.5 * normal.y;
        // Near the ground less of the sky is seen.
        let open = 0.55 + 0.45 * (at.y / 1.5).clamp(0.0, 1.0).max(normal.y);
        let ambient = (self.light.ambient.1 + (self.light.ambient.0 - self.light.ambient.1) * sky) * open;
        let mirrored = ray.along - normal * (2.0 * normal.dot(&ray.along));
        let highlight = gloss * direct * power(mirrored.dot(&towards).max(0.0), 24);
        let light = self.light.colour * (direct * facing.max(0.0)) + ambient;
        colour.component_mul(&light) + self.light.colour * highlight
    }

    fn shaded(&self, ray: &Ray, reach: f32, but: Option<usize>) -> bool {
        self.bodies.iter().enumerate().any(|(number, body)| {
            Some(number) != but
                && !passes(ray, body.bound)
                && body.shape.hit(ray, reach).is_some_and(|hit| hit.t < reach)
        })
    }
}

/// Whether a ray misses a sphere, or the sphere lies behind it.
fn passes(ray: &Ray, (centre, radius): (Vector, f32)) -> bool {
    let to = centre - ray.from;
    let along = to.dot(&ray.along);
    along < -radius || to.norm_squared() - along * along > radius * radius
}

impl World {
    fn add(&mut self, shape: Shape, material: Material) {
        let bound = shape.bound();
        self.bodies.push(Body { shape, material, bound });
    }
}
