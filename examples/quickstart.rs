//! The program that stands in the README.

use shmstream::{ShmPayload, Stream};

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Imu {
    accel: [f32; 3],
    gyro: [f32; 3],
}

fn main() -> shmstream::Result<()> {
    let name = format!("imu-{}", std::process::id());

    // One process creates the stream and publishes frames of one `Imu` each.
    let writer = Stream::<Imu, 1>::create(&name)?;
    writer.write(&[Imu {
        accel: [0.0, 0.0, 9.81],
        gyro: [0.0, 0.0, 0.02],
    }])?;

    // Any other process opens the stream by its name, and reads the latest frame in place.
    let reader = Stream::<Imu, 1>::open(&name)?;
    let frame = reader.wait()?;
    let Imu { accel, gyro } = frame[0];
    println!(
        "frame {}: accel {accel:?}, gyro {gyro:?}",
        frame.info().count
    );

    writer.unlink()
}
