/** Vagrant cannot run in a test; Ruby can, and a stand-in for Vagrant that writes down what it is told. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'tap'

const ROOT = resolve(import.meta.dirname, '../..')
const VAGRANTFILE = resolve(ROOT, 'Vagrantfile')

/** Prints each call below Vagrant.configure as a line: `vm.box= ["…"]`. */
const RECORDER = `
  class Recorder
    def initialize(path) = @path = path
    def respond_to_missing?(*) = true
    def method_missing(name, *args, **named, &block)
      path = [@path, name].compact.join('.')
      args << named unless named.empty?
      puts "#{path} #{args.inspect}" unless args.empty?
      block&.call(Recorder.new(path))
      Recorder.new(path)
    end
  end
  module Vagrant
    def self.configure(version) = yield(Recorder.new(nil))
  end
  load ARGV.fetch(0)
`

function ruby(...args: string[]): { status: number | null; text: string } {
  const { NUGATOR_BOX: _, ...env } = process.env
  const { status, stdout, stderr } = spawnSync('ruby', args, { encoding: 'utf8', env })
  return { status, text: stdout + stderr }
}

test('the Vagrantfile is Ruby', async (t) => {
  const { status, text } = ruby('-wc', VAGRANTFILE)
  t.equal(status, 0, text)
  t.match(text, /^Syntax OK$/m)
})

test('the machine is a CentOS Stream, set up by the script that npm run setup is', async (t) => {
  const { status, text } = ruby('-e', RECORDER, VAGRANTFILE)
  t.equal(status, 0, text)
  t.match(text, /^vm\.box= \["[\w-]+\/centos.*9.*"\]$/m)
  t.match(text, /^vm\.provision \["shell", .*cd \/vagrant && sh packaging\/setup\.sh --for demo"/m)
  t.match(text, /^vm\.synced_folder \["\.", "\/vagrant", .*rsync/m)
  for (const dir of ['node_modules/', 'dist/']) t.match(text, `"${dir}"`, `${dir} stays on the host`)
  const { scripts } = JSON.parse(readFileSync(resolve(ROOT, 'package.json'), 'utf8'))
  t.match(scripts.setup, 'packaging/setup.sh')
  t.ok(existsSync(resolve(ROOT, 'packaging/setup.sh')))
})
