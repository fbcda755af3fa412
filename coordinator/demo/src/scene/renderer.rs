//! Renders a world by casting rays.

use super::shape::{Hit, Ray, Shape, Vector};
use super::world::{Body, Sample, Source, Surface, World};
use crate::pixels::{Plane, Rgb, power};

/// The distance of the sky in metres.
pub(super) const SKY_DISTANCE: f32 = 1e4;

/// The positions in a pixel through which its rays pass.
const SAMPLES: [(f32, f32); 4] = [(0.125, 0.625), (0.375, 0.125), (0.625, 0.875), (0.875, 0.375)];

impl World {
    /// Returns the light and the distance in metres of each pixel.
    pub(super) fn render(&self, width: usize, height: usize) -> (Rgb, Plane) {
        let count = width * height;
        let (mut colours, mut distances) = (vec![Vector::zeros(); count], vec![0.0; count]);
        let scale = 2.0 * self.camera.half_width / width as f32;
        for x in 0..width {
            let bodies = self.bodies_in_column(scale * (x as f32 + 0.5 - width as f32 / 2.0), scale);
            for y in 0..height {
                let (mut colour, mut distance) = (Vector::zeros(), 0.0);
                for (dx, dy) in SAMPLES {
                    let right = scale * (x as f32 + dx - width as f32 / 2.0);
                    let up = self.camera.pitch - scale * (y as f32 + dy - height as f32 / 2.0);
                    let ray = Ray { origin: self.camera.position, direction: Vector::new(right, up, 1.0).normalize() };
                    let nearest = self.nearest_body(&ray, bodies.iter().copied());
                    let sample = self.sample(&ray, nearest, scale, 1);
                    colour += sample.colour / SAMPLES.len() as f32;
                    distance += sample.t.min(SKY_DISTANCE) / SAMPLES.len() as f32;
                }
                (colours[y * width + x], distances[y * width + x]) = (colour, distance);
            }
        }
        let pixels = colours.into_iter().map(|colour| [colour.x, colour.y, colour.z]);
        (Rgb::from_pixels(width, height, pixels), Plane { width, height, data: distances })
    }

    /// Returns the bodies that reach the vertical plane through the camera and this column.
    fn bodies_in_column(&self, right: f32, scale: f32) -> Vec<usize> {
        let plane_normal = Vector::new(1.0, 0.0, -right).normalize();
        let reaches = |body: &usize| {
            let (centre, radius) = self.bodies[*body].bound;
            let offset = centre - self.camera.position;
            // A pixel has a width, so bodies beside its centre count.
            plane_normal.dot(&offset).abs() < radius + scale * offset.norm()
        };
        (0..self.bodies.len()).filter(reaches).collect()
    }

    /// Returns the first hit of the ray with one of these bodies, and the body's index.
    pub(super) fn nearest_body(&self, ray: &Ray, bodies: impl Iterator<Item = usize>) -> Option<(Hit, usize)> {
        let mut found: Option<(Hit, usize)> = None;
        for index in bodies {
            let body = &self.bodies[index];
            let reach = found.map_or(f32::INFINITY, |(hit, _)| hit.t);
            if !misses(ray, body.bound)
                && let Some(hit) = body.shape.hit(ray, reach)
                && hit.t < reach
            {
                found = Some((hit, index));
            }
        }
        found
    }

    /// Returns what a ray sees. `nearest` is the nearest body, `footprint` the size of a pixel at a distance of 1, and
    /// `reflections` the number of reflections that are still followed.
    pub(super) fn sample(&self, ray: &Ray, nearest: Option<(Hit, usize)>, footprint: f32, reflections: u32) -> Sample {
        match nearest {
            Some((hit, index)) if hit.t < self.backdrop.distance(ray) => {
                let Body { shape, material, .. } = &self.bodies[index];
                let colour = material.colour(hit.uv, footprint * hit.t);
                let unshaded_by = matches!(shape, Shape::Tree { .. }).then_some(index);
                let surface = Surface { t: hit.t, normal: hit.normal, colour, gloss: material.gloss, unshaded_by };
                Sample { colour: self.illuminate(ray, &surface), t: hit.t }
            }
            _ => self.backdrop.sample(self, ray, footprint, reflections),
        }
    }

    /// Returns the light that a surface reflects along the ray.
    pub(super) fn illuminate(&self, ray: &Ray, surface: &Surface) -> Vector {
        let Surface { t, normal, colour, gloss, unshaded_by } = *surface;
        let point = ray.point(t) + normal * 0.02;
        let (light_direction, light_distance, strength) = match self.light.source {
            Source::Sun(sun) => (sun, f32::INFINITY, 1.0),
            Source::Lamp(lamp) => {
                let offset = lamp - point;
                let distance = offset.norm();
                (offset / distance, distance, 1.0 / (0.3 + 0.12 * distance * distance))
            }
        };
        let cosine = normal.dot(&light_direction);
        let shadow_ray = Ray { origin: point, direction: light_direction };
        let is_lit = cosine > 0.0 && !self.is_shaded(&shadow_ray, light_distance, unshaded_by);
        let direct = if is_lit { strength } else { 0.0 };
        let sky = 0.5 + 0.5 * normal.y;
        // Less of the sky is visible near the ground.
        let openness = 0.55 + 0.45 * (point.y / 1.5).clamp(0.0, 1.0).max(normal.y);
        let ambient = (self.light.ambient.1 + (self.light.ambient.0 - self.light.ambient.1) * sky) * openness;
        let reflected = ray.direction - normal * (2.0 * normal.dot(&ray.direction));
        let highlight = gloss * direct * power(reflected.dot(&light_direction).max(0.0), 24);
        let light = self.light.colour * (direct * cosine.max(0.0)) + ambient;
        colour.component_mul(&light) + self.light.colour * highlight
    }

    /// Returns whether a body other than `except` lies on the ray within `reach` metres.
    fn is_shaded(&self, ray: &Ray, reach: f32, except: Option<usize>) -> bool {
        self.bodies.iter().enumerate().any(|(index, body)| {
            Some(index) != except
                && !misses(ray, body.bound)
                && body.shape.hit(ray, reach).is_some_and(|hit| hit.t < reach)
        })
    }
}

/// Returns whether a ray misses a sphere, or the sphere lies behind its origin.
fn misses(ray: &Ray, (centre, radius): (Vector, f32)) -> bool {
    let offset = centre - ray.origin;
    let distance = offset.dot(&ray.direction);
    distance < -radius || offset.norm_squared() - distance * distance > radius * radius
}
