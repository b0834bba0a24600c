/** Records that cannot be relied on: cut short, empty, or of another boot. Everything can still be undone. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { run } from './rig/host.ts'
import { complaint, linkProblems, linkStage } from './rig/link-stage.ts'
import { hostConf, peerConf } from './rig/modes.ts'
import { filesIn, leases, residue } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'

function recordFiles(stage: Stage): string[] {
  return Object.keys(filesIn(stage.host.stateDir)).map((file) => join(stage.host.stateDir, file))
}

function halve(stage: Stage): void {
  for (const file of recordFiles(stage)) truncateSync(file, readFileSync(file).length >> 1)
}

function empty(stage: Stage): void {
  for (const file of recordFiles(stage)) truncateSync(file, 0)
}

/** As after a reboot: the records name another boot, and what they tell of is gone with the containers. */
function reboot(stage: Stage): void {
  const now = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  for (const file of recordFiles(stage)) {
    const text = readFileSync(file, 'utf8')
    if (!text.includes(now)) throw new Error(`${file} does not name its boot`)
    writeFileSync(file, text.replaceAll(now, '00000000-0000-4000-8000-000000000000'))
  }
}

/** The kernel removes ends of dead containers' wires by itself, and may be first. */
async function removeLinks(t: Test, stage: Stage): Promise<void> {
  const { host } = stage
  for (const name of await host.links()) await run('ip', ['-n', host.name, 'link', 'del', name])
  t.same(await host.links(), [], 'the host has no interfaces')
}

function hostStage(t: Test): Stage {
  const stage = new Stage(t).containers('r1', 'r2')
  const conf = hostConf(stage.host, { ipMasq: true })
  return stage.cast({
    r1: { conf, containerID: 'one', on: 'r1' },
    r2: { conf, containerID: 'two', on: 'r2' },
  })
}

function peerStage(t: Test): Stage {
  const stage = new Stage(t).containers('r1', 'r2')
  return stage.cast({ r1: { conf: peerConf(stage.pathOf('r2')), containerID: 'one', on: 'r1' } })
}

const MODES = { host: hostStage, peer: peerStage, link: linkStage }

for (const [mode, stageOf] of Object.entries(MODES)) {
  const everybody = mode === 'peer' ? ['r1'] : ['r1', 'r2']

  for (const damage of [halve, empty]) {
    t.test(`${mode} mode: DEL when records were cut (${damage.name})`, async (t) => {
      const stage = stageOf(t)
      for (const who of everybody) t.same(complaint('ADD', await stage.add(who)), [])
      damage(stage)
      for (const who of everybody) t.same(complaint('DEL', await stage.del(who)), [])
      t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
      for (const who of everybody) t.same(complaint('a new ADD', await stage.add(who)), [])
      for (const who of everybody) t.same(complaint('a new DEL', await stage.del(who)), [])
      t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
    })
  }

  t.test(`${mode} mode: after a reboot`, async (t) => {
    const stage = stageOf(t)
    for (const undo of ['ADD', 'DEL', 'GC']) {
      for (const who of everybody) t.same(complaint('ADD', await stage.add(who)), [])
      for (const label of ['r1', 'r2']) stage.die(label)
      await removeLinks(t, stage)
      await stage.host.exec('nft', ['flush', 'ruleset'])
      for (const label of ['r1', 'r2']) stage.revive(label)
      reboot(stage)
      if (undo === 'DEL') for (const who of everybody) t.same(complaint('DEL', await stage.del(who)), [])
      if (undo === 'GC') t.same(complaint('GC', await stage.gc(stage.attachment('r1').conf, [])), [])
      if (undo !== 'ADD') t.same(await residue(stage.host, stage.namespaces), [], `${undo} leaves nothing`)
      for (const who of everybody) t.same(complaint(`ADD after ${undo}`, await stage.add(who)), [])
      if (mode === 'link') t.same(await linkProblems(stage, ['r1', 'r2']), [])
      if (mode === 'host') t.equal(leases(stage.host).length, 2, 'the old leases are free')
      for (const who of everybody) t.same(complaint('the last DEL', await stage.del(who)), [])
      t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
    }
  })
}
