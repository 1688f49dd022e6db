//! After its first step an optimizer allocates nothing.

// A global allocator cannot be implemented without it; everything is handed on to the system's.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use sparse_autoencoder::{Adam, Lbfgs, Optimizer, Sgd};

thread_local! {
    // By thread, because the test harness allocates on its own.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn steps_after_the_first_do_not_allocate() {
    let mut sgd = Sgd::<f32>::new(1e-4).unwrap();
    let mut momentum = Sgd::<f32>::new(1e-4).unwrap().momentum(0.9).unwrap();
    let mut adam = Adam::<f32>::new(1e-3).unwrap();
    let mut lbfgs = Lbfgs::<f32>::new().history(3).unwrap();
    let optimizers: [&mut dyn Optimizer<f32>; 4] = [&mut sgd, &mut momentum, &mut adam, &mut lbfgs];
    for optimizer in optimizers {
        let mut theta = vec![1.0_f32; 1000];
        let mut quartic = |x: &[f32], gradient: &mut [f32]| {
            let mut value = 0.0;
            for (i, (g, &x)) in gradient.iter_mut().zip(x).enumerate() {
                let weight = 1.0 + i as f32;
                *g = weight * x * x * x;
                value += 0.25 * weight * x * x * x * x;
            }
            value
        };
        optimizer.step(&mut theta, &mut quartic);
        let before = ALLOCATIONS.get();
        for _ in 0..20 {
            optimizer.step(&mut theta, &mut quartic);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{optimizer:?}");
    }
}
