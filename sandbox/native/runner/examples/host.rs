//! `cargo run --release -p gatebus-sandbox --example host -- EXECUTABLE FILE.wasm [--discard] [WORDS..]`: compiles and
//! runs one program through a keeper of its own and says what each step took. For looking at the chain by hand.
#![allow(missing_docs)]

use gatebus_jail::descriptors::sealed_memfd;
use gatebus_sandbox::client::{Client, Result, begin, compile, report, setup, start};
use gatebus_wire::packets::DOMAIN_DATA;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [executable, file, rest @ ..] = words.as_slice() else { return Err("EXECUTABLE FILE [WORDS..]".into()) };
    let mut client = Client::new(Path::new(executable), &[])?;
    let source = std::fs::read(file)?;
    let clock = Instant::now();
    let (answer, image, facts) = client.compile(compile(), &source)?;
    eprintln!(
        "compiled {} -> {} bytes in {:.2} s: {answer:?}\n{facts}",
        source.len(),
        image.len(),
        clock.elapsed().as_secs_f64()
    );
    if image.is_empty() {
        return Ok(());
    }
    let image = sealed_memfd(&image)?;
    client.settle()?;
    let discard = rest.first().is_some_and(|word| word == "--discard");
    let arguments: Vec<&str> =
        std::iter::once(file.as_str()).chain(rest.iter().skip(usize::from(discard)).map(String::as_str)).collect();
    let begin = gatebus_wire::control::Begin { origin_credit: u32::MAX >> 1, ..begin() };
    let clock = Instant::now();
    let mut program = client.start(start(), &image, &setup(&begin, &arguments, None))?;
    if discard {
        let mut bytes = vec![0u8; 256 << 10];
        let mut total = 0;
        while let Ok(count @ 1..) = program.packets.read(&mut bytes) {
            total += count;
        }
        let seconds = clock.elapsed().as_secs_f64();
        eprintln!("{total} bytes in {seconds:.3} s: {:.0} MB/s", total as f64 / seconds / 1e6);
    } else {
        let packets = program.listen()?;
        for (header, content) in &packets {
            if header.code == 0 && header.domain == DOMAIN_DATA {
                std::io::stdout().write_all(&content[8..])?;
            }
        }
        eprintln!("{:?}", report(&packets));
    }
    let ended = client.end(&program)?;
    eprintln!("{:.3} ms: {ended:?}", clock.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}
