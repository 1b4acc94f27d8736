//! Broken worlds of stopped programs: refused, or exactly what they say; and one that goes on answers calls or ends.

use gatebus_abi::{Channel, Clock, Gate, Io, Ready, Setup, Wasi};
use gatebus_suite::mutate::campaign;
use gatebus_wire::control::{Begin, FLAG_RESUMED, Kind, encode};
use serde_json::Value;

const ROUNDS: u64 = 20_000;

/// Says what it was given, takes everything, and is gone when somebody would wait for more.
struct Host {
    says: Vec<u8>,
}

impl Channel for Host {
    fn read(&mut self, into: &mut [u8]) -> Io {
        let count = into.len().min(self.says.len());
        if count == 0 {
            return Io::Closed;
        }
        into[..count].copy_from_slice(&self.says[..count]);
        self.says.drain(..count);
        Io::Done(count)
    }

    fn write(&mut self, from: &[u8]) -> Io {
        Io::Done(from.len())
    }

    fn wait(&mut self, readable: bool, writable: bool, _: Option<u64>) -> Ready {
        Ready { readable, writable }
    }

    fn clock(&mut self, _: Clock) -> u64 {
        1 << 40
    }

    fn random(&mut self, into: &mut [u8]) {
        into.fill(4);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let all: Value = serde_json::from_str(include_str!("../../abi/state_vectors.json")).expect("vectors");
    let rows = all.as_array().expect("a list").iter();
    rows.map(|row| bytes(row["hex"].as_str().expect("hex"))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

fn setup() -> Setup {
    let (flags, clock_ns) = (FLAG_RESUMED, 1);
    let begin = Begin { flags, clock_ns, log_limit: 99, files_limit: 1 << 20, nodes_limit: 50, ..Begin::default() };
    let packets = [(Kind::Begin, begin.encode()), (Kind::Restore, Vec::new()), (Kind::Go, Vec::new())];
    let says = packets.iter().flat_map(|(kind, content)| encode(*kind, content).expect("small")).collect();
    Setup::receive_untrusted(&mut Host { says }).expect("a good setup")
}

fn word_to_stop() -> Host {
    Host { says: encode(Kind::Suspend, b"").expect("small") }
}

#[test]
fn worlds_of_wasi_programs() {
    campaign(&seeds(), ROUNDS, |state| {
        let Ok(mut wasi) = Wasi::restore_untrusted(setup(), state) else { return };
        let mut host = word_to_stop();
        wasi.drain_until_suspend(&mut host).expect("the host is there");
        assert_eq!(wasi.save(&mut host), state, "what it wrote");
        let mut memory = vec![0; 4096];
        for fd in 0..8 {
            let _ = wasi.fd_filestat_get(&mut memory, &mut host, fd, 0);
            let _ = wasi.fd_readdir(&mut memory, &mut host, fd, 0, 1000, 0, 2000);
            memory[..8].copy_from_slice(&[64, 0, 0, 0, 64, 0, 0, 0]);
            let _ = wasi.fd_write(&mut memory, &mut host, fd, 0, 1, 2000);
            let _ = wasi.fd_close(&mut memory, &mut host, fd);
        }
    });
}

#[test]
fn worlds_of_gate_programs() {
    campaign(&seeds(), ROUNDS, |state| {
        let Ok(mut gate) = Gate::restore_untrusted(setup(), state) else { return };
        let mut host = word_to_stop();
        gate.drain_until_suspend(&mut host).expect("the host is there");
        let saved = gate.save(&mut host);
        // The clock is rounded up to a tick, and Gate's finest are two nanoseconds.
        assert_eq!((&saved[..4], &saved[12..]), (&state[..4], &state[12..]), "what it wrote");
        let mut memory = vec![0; 4096];
        memory[..8].copy_from_slice(&[64, 0, 0, 0, 64, 0, 0, 0]);
        let _ = gate.fd_read(&mut memory, &mut host, 4, 0, 1, 2000);
        let _ = gate.fd_write(&mut memory, &mut host, 4, 0, 1, 2000);
    });
}
