import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/main.ts';

/** Every command with its full name, such as `calibrate merge`. */
function commandsOf(command: Command, path: readonly string[] = []): [string, Command][] {
  return [
    [path.join(' '), command],
    ...command.commands.flatMap((child) => commandsOf(child, [...path, child.name()])),
  ];
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (part) => {
      text += part;
    },
    getOutHelpWidth: () => 80,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text;
}

const commands = commandsOf(createProgram());

function help(name: string): string {
  const found = commands.find(([path]) => path === name);
  if (found === undefined) throw new Error(`there is no command ${name}`);
  return helpOf(found[1]);
}

describe('every command', () => {
  it.each(commands)('%s: help fits 80 columns and has two examples of itself', (name, command) => {
    const text = helpOf(command);
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
    const examples = text.split('Examples:\n')[1]?.match(/^ {2}\$ .*$/gm) ?? [];
    expect(examples.length).toBeGreaterThanOrEqual(2);
    for (const example of examples) expect(example).toContain(`$ autoglm ${name}`.trimEnd());
  });

  it.each(commands)('%s: says what it is, and what every option and argument is', (_, command) => {
    expect(command.description()).not.toBe('');
    for (const { flags, description } of command.options)
      expect([flags, description]).not.toContain('');
    for (const argument of command.registeredArguments) {
      expect([argument.name(), argument.description]).not.toContain('');
    }
  });

  it.each(commands.filter(([, command]) => command.commands.length === 0))(
    '%s: has --json and --quiet',
    (_, command) => {
      const flags = command.options.map(({ long }) => long);
      expect(flags).toEqual(expect.arrayContaining(['--json', '--quiet']));
    },
  );

  it('options of one name mean one thing: the same flags and words everywhere', () => {
    const meanings = new Map<string, Set<string>>();
    for (const [, command] of commands) {
      for (const { long, flags } of command.options) {
        const known = meanings.get(long ?? '') ?? new Set();
        meanings.set(long ?? '', known.add(flags));
      }
    }
    const several = [...meanings]
      .filter(([, flags]) => flags.size > 1)
      .map(([, flags]) => [...flags]);
    expect(several).toEqual([
      ['--format <formats...>', '--format <format>'],
      ['-o, --output <folder>', '-o, --output <file>'],
    ]);
  });
});

describe('help', () => {
  it('of the whole program', () => {
    expect(help('')).toMatchInlineSnapshot(`
      "Usage: autoglm [options] [command]

      Compress FP16 ONNX transformers and prove the result against the source.

      Verbs without a model take it from --config, ./autoglm.yaml or
      ./configs/autoglm.yaml.

      Options:
        -V, --version                output the version number
        -h, --help                   display help for command

      Commands:
        inspect [options] [model]    Show what is inside: parameters, bytes, blocks
                                     found, quantizable layers, and a size forecast
                                     per recipe. Reads a sample of the weights alone.
                                     With --sensitivity: what INT8 activations cost,
                                     layer by layer, measured on held-out data. With
                                     --prunable: which channels and heads could go,
                                     what each step of them saves, and what cannot and
                                     why.
        calibrate [options] [model]  Run the calibration passes over a data set and
                                     write calibration.json: statistics and the INT8
                                     scale of every linear layer input.
        prune [options] [model]      Remove hidden channels and attention heads;
                                     shapes really shrink.
        quantize [options] [model]   Quantize the weights, and the activations where
                                     the recipe says so.
        export [options] [model]     Write the artifact of a target, then check it
                                     against its source.
        check [options] [artifact]   Compare an artifact with its source on held-out
                                     data: accuracy, latency, sizes, fused layers;
                                     then judge it by the gates.
        run [options] [config]       Run the whole pipeline of a config: calibrate,
                                     quantize, export, check, report.
        report [options] [folder]    Show a finished check, or write it in another
                                     form.
        doctor [options]             Say what this machine can run, and why not the
                                     rest.
        recipe                       Show the built-in recipes.
        init [options] [file]        Write a commented config.
        help [command]               display help for command

      Examples:
        $ autoglm run configs/autoglm.yaml
        $ autoglm quantize model.onnx --data calibration/mixed -o out

      Exit codes: 0 done, 1 internal failure, 2 usage or config, 3 a gate failed,
      4 input file refused, 5 unsupported by the target, 6 device or runtime missing
      "
    `);
  });

  it('of inspect', () => {
    expect(help('inspect')).toMatchInlineSnapshot(`
      "Usage: autoglm inspect [options] [model]

      Show what is inside: parameters, bytes, blocks found, quantizable layers, and a
      size forecast per recipe. Reads a sample of the weights alone. With
      --sensitivity: what INT8 activations cost, layer by layer, measured on held-out
      data. With --prunable: which channels and heads could go, what each step of them
      saves, and what cannot and why.

      Arguments:
        model                       an .onnx file, or a folder with one

      Options:
        --config <file>             config to take the model from
        --sensitivity               rank the linear layers by the KL that they add
        --prunable                  list what can be pruned and what each step saves;
                                    no data needed
        --recipe <name|file>        what is ranked (default: "w8a8")
        --calibration <file>        calibration.json already made
        --search-samples <count>    held-out windows to measure on
        --data <folder>             data set: folder with dataset.yaml, or a bare file
        --samples <count>           samples to use
        --sequence-length <tokens>  tokens per text sample
        --seed <number>             seed of everything random
        --json                      print the result as one JSON document
        --quiet                     print the result and errors only
        -h, --help                  display help for command

      Examples:
        $ autoglm inspect model.onnx
        $ autoglm inspect model.onnx --prunable
        $ autoglm inspect model.onnx --sensitivity --data calibration/mixed
      "
    `);
  });

  it('of calibrate', () => {
    expect(help('calibrate')).toMatchInlineSnapshot(`
      "Usage: autoglm calibrate [options] [command] [model]

      Run the calibration passes over a data set and write calibration.json:
      statistics and the INT8 scale of every linear layer input.

      Arguments:
        model                       an .onnx file, or a folder with one

      Options:
        --calibrator <name>         how ranges are chosen (choices: "minmax",
                                    "percentile", "entropy", "mse", "auto")
        --shard <i/n>               take samples i, i+n, i+2n ...
        --format <formats...>       also write tables (choices: "trt", "ort")
        --data <folder>             data set: folder with dataset.yaml, or a bare file
        --samples <count>           samples to use
        --sequence-length <tokens>  tokens per text sample
        --seed <number>             seed of everything random
        -o, --output <folder>       where the result goes
        --config <file>             config to take the model and defaults from
        --force                     replace files that exist
        --dry-run                   print what would be done, write nothing
        --json                      print the result as one JSON document
        --quiet                     print the result and errors only
        -h, --help                  display help for command

      Commands:
        merge [options] <files...>  Join the statistics of shards into one
                                    calibration.json.

      Examples:
        $ autoglm calibrate model.onnx --data calibration/mixed -o out
        $ autoglm calibrate merge a/calibration.json b/calibration.json -o out
      "
    `);
  });

  it('of calibrate merge', () => {
    expect(help('calibrate merge')).toMatchInlineSnapshot(`
      "Usage: autoglm calibrate merge [options] <files...>

      Join the statistics of shards into one calibration.json.

      Arguments:
        files                  calibration.json of each shard

      Options:
        -o, --output <folder>  where calibration.json goes
        --force                replace files that exist
        --json                 print the result as one JSON document
        --quiet                print the result and errors only
        -h, --help             display help for command

      Examples:
        $ autoglm calibrate merge a/calibration.json b/calibration.json -o out
        $ autoglm calibrate merge shard-*/calibration.json -o out --force
      "
    `);
  });

  it('of quantize', () => {
    expect(help('quantize')).toMatchInlineSnapshot(`
      "Usage: autoglm quantize [options] [model]

      Quantize the weights, and the activations where the recipe says so.

      Arguments:
        model                       an .onnx file, or a folder with one

      Options:
        --recipe <name|file>        what to quantize and how (default: "w8a8")
        --calibration <file>        calibration.json already made
        --activations <type>        element type of what stays float (choices:
                                    "float32", "float16")
        --max-kl <nats>             search the smallest result whose KL stays below
        --max-drop <points>         the same for the loss of top-1, such as 0.5%
        --max-perplexity-ratio <x>  the same for perplexity, after / before
        --search-samples <count>    held-out windows of a search
        --data <folder>             data set: folder with dataset.yaml, or a bare file
        --samples <count>           samples to use
        --sequence-length <tokens>  tokens per text sample
        --seed <number>             seed of everything random
        -o, --output <folder>       where the result goes
        --config <file>             config to take the model and defaults from
        --force                     replace files that exist
        --dry-run                   print what would be done, write nothing
        --json                      print the result as one JSON document
        --quiet                     print the result and errors only
        -h, --help                  display help for command

      Examples:
        $ autoglm quantize model.onnx --data calibration/mixed -o out
        $ autoglm quantize model.onnx --data calibration/mixed -o out --max-kl 0.02
        $ autoglm quantize model.onnx --recipe w8a16 -o out --dry-run
      "
    `);
  });

  it('of export', () => {
    expect(help('export')).toMatchInlineSnapshot(`
      "Usage: autoglm export [options] [model]

      Write the artifact of a target, then check it against its source.

      Arguments:
        model                       the float model, an .onnx file or a folder with
                                    one

      Options:
        --target <target>           who will read it (choices: "tensorrt", "onnx",
                                    "mnn", "coreml")
        --recipe <name|file>        what to quantize and how (default: "w8a8")
        --calibration <file>        calibration.json already made
        --shape <range...>          bounds of inputs, e.g. input_ids:1x1..1x128..1x512
                                    (default: by the names of axes, then the samples)
        --floats <choice>           mnn: how float weights of a float16 model are
                                    stored; MNN computes in float32 with both
                                    (default: float16) (choices: "float16", "float32")
        --min-ios <choice>          coreml: oldest iOS that loads the package (macOS
                                    13, 14, 15) (default: 16) (choices: "16", "17",
                                    "18")
        --data <folder>             data set: folder with dataset.yaml, or a bare file
        --samples <count>           samples to use
        --sequence-length <tokens>  tokens per text sample
        --seed <number>             seed of everything random
        -o, --output <folder>       where the result goes
        --config <file>             config to take the model and defaults from
        --force                     replace files that exist
        --dry-run                   print what would be done, write nothing
        --json                      print the result as one JSON document
        --quiet                     print the result and errors only
        -h, --help                  display help for command

      Examples:
        $ autoglm export model.onnx --target tensorrt --data calibration/mixed -o out
        $ autoglm export --target onnx
      "
    `);
  });

  it('of check', () => {
    expect(help('check')).toMatchInlineSnapshot(`
      "Usage: autoglm check [options] [artifact]

      Compare an artifact with its source on held-out data: accuracy, latency, sizes,
      fused layers; then judge it by the gates.

      Arguments:
        artifact                    an .onnx file, or a folder with manifest.json

      Options:
        --against <model>           the source (default: what the manifest names)
        --device <device>           where to run (choices: "auto", "cpu", "webgpu",
                                    "cuda", "tensorrt", "cpu-low-memory", default:
                                    "auto")
        --gate <name=limit...>      limits, e.g. maxTop1Drop=0.5pt minSpeedup=1.5
        --no-latency                leave the timing out
        --context-length <tokens>   tokens to time a decoder with (default: 128)
        -o, --output <folder>       where check.json and reports go
        --junit <file>              also write JUnit XML there
        --config <file>             config to take the gates and data from
        --force                     replace files that exist
        --data <folder>             data set: folder with dataset.yaml, or a bare file
        --samples <count>           samples to use
        --sequence-length <tokens>  tokens per text sample
        --seed <number>             seed of everything random
        --json                      print the result as one JSON document
        --quiet                     print the result and errors only
        -h, --help                  display help for command

      Examples:
        $ autoglm check out/model.onnx --against model.onnx --data calibration/mixed
        $ autoglm check out --gate maxTop1Drop=0.5pt --junit junit.xml
      "
    `);
  });

  it('of run', () => {
    expect(help('run')).toMatchInlineSnapshot(`
      "Usage: autoglm run [options] [config]

      Run the whole pipeline of a config: calibrate, quantize, export, check, report.

      Arguments:
        config          pipeline config (default: ./autoglm.yaml, then
                        ./configs/autoglm.yaml)

      Options:
        --resume        go on after the last finished stage
        --from <stage>  redo this stage and those that need it (choices: "prune",
                        "calibrate", "quantize", "export", "check")
        --force         start again, replacing the stages in the output folder
        --dry-run       print the stages and which are up to date
        --junit <file>  also write JUnit XML there
        --json          print the result as one JSON document
        --quiet         print the result and errors only
        -h, --help      display help for command

      Examples:
        $ autoglm run configs/autoglm.yaml
        $ autoglm run --resume --json
      "
    `);
  });

  it('of report', () => {
    expect(help('report')).toMatchInlineSnapshot(`
      "Usage: autoglm report [options] [folder]

      Show a finished check, or write it in another form.

      Arguments:
        folder               folder of a run or check (default: that of the config)

      Options:
        --format <format>    form of the report (choices: "html", "json", "junit",
                             "markdown")
        -o, --output <file>  file to write (default: print it)
        --config <file>      config whose output folder is meant
        --force              replace the file if it exists
        --json               print the result as one JSON document
        --quiet              print the result and errors only
        -h, --help           display help for command

      Examples:
        $ autoglm report out
        $ autoglm report out --format html -o report.html
      "
    `);
  });

  it('of doctor', () => {
    expect(help('doctor')).toMatchInlineSnapshot(`
      "Usage: autoglm doctor [options]

      Say what this machine can run, and why not the rest.

      Options:
        --json      print the result as one JSON document
        --quiet     print the result and errors only
        -h, --help  display help for command

      Examples:
        $ autoglm doctor
        $ autoglm doctor --json
      "
    `);
  });

  it('of recipe', () => {
    expect(help('recipe')).toMatchInlineSnapshot(`
      "Usage: autoglm recipe [options] [command]

      Show the built-in recipes.

      Options:
        -h, --help             display help for command

      Commands:
        list [options]         List the built-in recipes.
        show [options] <name>  Print a built-in recipe as YAML.
        help [command]         display help for command

      Examples:
        $ autoglm recipe list
        $ autoglm recipe show w8a8 > my-recipe.yaml
      "
    `);
  });

  it('of recipe list', () => {
    expect(help('recipe list')).toMatchInlineSnapshot(`
      "Usage: autoglm recipe list [options]

      List the built-in recipes.

      Options:
        --json      print the result as one JSON document
        --quiet     print the result and errors only
        -h, --help  display help for command

      Which suits which processor (x86), as times of float32, one layer on one core:
                                 one row     16 rows and more (rows are tokens)
                                             with VNNI   AVX2 alone
        INT8 activations         2x to 4x    3x          2x
        8-bit weights alone      2x          1.3x        0.65x: slower
        4-bit weights alone      2x to 4x    1.1x        1x
      w8a8, w8a8-full and w8a8-dynamic have INT8 activations. w8a8 leaves the head and
      the down projections of gated language models to weights alone, the quickest
      token by token; w8a8-full spares no layer (those two take two integer products
      each), the quickest over prompts, images and batches. "autoglm doctor"
      says what this machine has, "autoglm check" where the time of an artifact goes.

      Examples:
        $ autoglm recipe list
        $ autoglm recipe list --json
      "
    `);
  });

  it('of recipe show', () => {
    expect(help('recipe show')).toMatchInlineSnapshot(`
      "Usage: autoglm recipe show [options] <name>

      Print a built-in recipe as YAML.

      Arguments:
        name        name of a built-in recipe

      Options:
        --json      print the result as one JSON document
        --quiet     print the result and errors only
        -h, --help  display help for command

      Examples:
        $ autoglm recipe show w8a16
        $ autoglm recipe show w8a8 > my-recipe.yaml
      "
    `);
  });

  it('of init', () => {
    expect(help('init')).toMatchInlineSnapshot(`
      "Usage: autoglm init [options] [file]

      Write a commented config.

      Arguments:
        file        config to write (default: "autoglm.yaml")

      Options:
        --force     replace the file if it exists
        --json      print the result as one JSON document
        --quiet     print the result and errors only
        -h, --help  display help for command

      Examples:
        $ autoglm init
        $ autoglm init configs/phone.yaml
      "
    `);
  });
});
