//! What a room must stand, whatever its participants send and whenever: used by the fuzz target and by the replay of
//! its corpus. The octets are a program: each step sends a chunk, garbage or a request, lets time pass, or carries out
//! an order of the focus. Chunks go through the real decoder, `Session::admit`, the room and the reports, and what
//! receivers would get goes through a decoder again. It compares with what was sent.
mod receivers;
mod script;
mod world;

use script::Script;
use world::World;

/// Runs the program that these octets are.
pub(crate) fn probe(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new(script.octet());
    // What one run may cost.
    for _ in 0..400 {
        if script.is_over() {
            break;
        }
        world.step(&mut script);
    }
    world.end();
}
