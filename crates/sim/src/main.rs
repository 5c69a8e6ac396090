//! The simulator's command line.

#![forbid(unsafe_code)]

fn main() {
    if let Some(path) = std::env::args().nth(1).filter(|arg| arg.ends_with(".json")) {
        let trace = livestore_sim::Trace::read(std::path::Path::new(&path)).unwrap();
        let (run, story) = trace.tell();
        story.iter().for_each(|line| println!("{line}"));
        println!("{:?}", run.violation.map(|violation| violation.to_string()));
        return;
    }
    let seeds: u64 = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(10);
    let first: u64 = std::env::args().nth(2).and_then(|arg| arg.parse().ok()).unwrap_or(0);
    let begin = std::time::Instant::now();
    let mut counts = livestore_sim::Counts::default();
    let mut sometimes = livestore_sim::Sometimes::default();
    for seed in first..first + seeds {
        let (trace, run) = livestore_sim::run_seed(seed);
        counts.add(run.counts);
        sometimes.merge(&run.sometimes);
        if let Some(violation) = run.violation {
            println!("seed {seed}, {} steps: {violation}", trace.steps.len());
            let small = livestore_sim::minimise(&trace, std::time::Duration::from_secs(6));
            small.write(std::path::Path::new(&format!("/tmp/h/sim/fail-{seed}.json"))).unwrap();
            println!("  {} steps: {:?}", small.steps.len(), small.run().violation);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{counts:?} in {seconds:.2} s, {:.0} steps/s", counts.steps as f64 / seconds);
    for (point, count) in sometimes.iter() {
        println!("{count:8} {point}");
    }
}
