/** What is written down is damaged, lost, of another boot, or cannot be written: nothing stays in the kernel. */
import { mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { newHost, run } from './rig/host.ts'
import { complaint, linkProblems, linkStage } from './rig/link-stage.ts'
import { type Conf, hostConf, linkConf, peerConf } from './rig/modes.ts'
import { filesIn, look, residue } from './rig/snapshot.ts'
import { Stage } from './rig/stage.ts'

/** Host mode without IPAM, whose leases only a netconf can tell of. */
function hostStage(t: Test, more: Conf = {}): Stage {
  const stage = new Stage(t).containers('r1', 'r2')
  const given = (address: string) =>
    hostConf(stage.host, {
      ipam: undefined,
      addresses: [{ address, gateway: '10.88.0.1' }],
      ipMasq: true,
      ...more,
    })
  return stage.cast({
    r1: { conf: given('10.88.0.2/24'), containerID: 'one', on: 'r1' },
    r2: { conf: given('10.88.0.3/24'), containerID: 'two', on: 'r2' },
  })
}

function peerStage(t: Test): Stage {
  const stage = new Stage(t).containers('r1', 'r2')
  return stage.cast({ r1: { conf: peerConf(stage.pathOf('r2')), containerID: 'one', on: 'r1' } })
}

async function addAll(t: Test, stage: Stage, who: readonly string[]): Promise<void> {
  for (const each of who) t.same(complaint(`ADD of ${each}`, await stage.add(each)), [])
}

async function gone(t: Test, stage: Stage): Promise<void> {
  t.same(await residue(stage.host, stage.namespaces), [], 'nothing is left')
  const tables = await stage.host.exec('nft', ['list', 'tables'])
  t.notMatch(tables, /nugator/, 'nor is the nftables table')
}

function cut(stage: Stage, directory: string): void {
  const names = Object.keys(filesIn(stage.host.stateDir)).filter((file) => file.startsWith(directory))
  if (names.length === 0) throw new Error(`no files in ${directory}`)
  for (const file of names) truncateSync(join(stage.host.stateDir, file), 4)
}

const DAMAGE: Record<string, (stage: Stage) => void> = {
  'attachment records cut': (stage) => cut(stage, 'attachments'),
  'link record cut': (stage) => cut(stage, 'links'),
  'all records cut': (stage) => cut(stage, ''),
  'state directory wiped': (stage) => rmSync(stage.host.stateDir, { recursive: true }),
}

interface Case {
  mode: string
  stageOf: (t: Test) => Stage
  who: readonly string[]
  damage: readonly string[]
  /** Damage after which nothing on the host tells of wires between containers: only DEL can find them. */
  onlyDel?: readonly string[]
}

const ALL = Object.keys(DAMAGE)
const NO_LINK = ALL.filter((damage) => damage !== 'link record cut')
const CASES: readonly Case[] = [
  { mode: 'host', stageOf: hostStage, who: ['r1', 'r2'], damage: NO_LINK },
  { mode: 'peer', stageOf: peerStage, who: ['r1'], damage: NO_LINK, onlyDel: NO_LINK },
  { mode: 'link, one waits', stageOf: linkStage, who: ['r1'], damage: ALL },
  {
    mode: 'link, both met',
    stageOf: linkStage,
    who: ['r1', 'r2'],
    damage: ALL,
    onlyDel: ['all records cut', 'state directory wiped'],
  },
]

for (const { mode, stageOf, who, damage, onlyDel = [] } of CASES) {
  for (const what of damage) {
    for (const undo of onlyDel.includes(what) ? ['DEL'] : ['DEL', 'GC []']) {
      t.test(`${mode}: ${what}, then ${undo}`, async (t) => {
        const stage = stageOf(t)
        await addAll(t, stage, who)
        DAMAGE[what]?.(stage)
        if (undo === 'DEL') for (const each of who) t.same(complaint(undo, await stage.del(each)), [])
        else t.same(complaint(undo, await stage.gc(stage.attachment('r1').conf, [])), [])
        await gone(t, stage)
        await addAll(t, stage, who)
        for (const each of who) t.same(complaint('the last DEL', await stage.del(each)), [])
        await gone(t, stage)
      })
    }
  }
}

for (const conf of [{}, { ifName: 'net7' }]) {
  for (const what of ['attachment records cut', 'state directory wiped']) {
    t.test(`GC leaves a valid attachment alone: ${what}, ${JSON.stringify(conf)}`, async (t) => {
      const stage = hostStage(t, conf)
      await addAll(t, stage, ['r1', 'r2'])
      const namespaces = [stage.host.name, stage.netns('r1').name]
      DAMAGE[what]?.(stage)
      t.same(complaint('GC', await stage.gc(stage.attachment('r1').conf, ['r1'])), [])
      t.equal((await stage.host.links()).length, 1, 'the host end of r1 is left')
      t.same(await stage.host.links(stage.netns('r1').name), [conf.ifName ?? 'eth0'])
      t.same(await stage.host.links(stage.netns('r2').name), [], 'r2 is not valid')
      const before = await Promise.all(namespaces.map(look))
      t.same(complaint('GC again', await stage.gc(stage.attachment('r1').conf, ['r1'])), [])
      t.same(await Promise.all(namespaces.map(look)), before, 'nothing of r1 has changed')
      for (const each of ['r1', 'r2']) t.same(complaint('DEL', await stage.del(each)), [])
      await gone(t, stage)
    })
  }
}

t.test('the run directory is cleared while containers are attached', async (t) => {
  const stage = hostStage(t)
  await addAll(t, stage, ['r1', 'r2'])
  rmSync(stage.host.runDir, { recursive: true })
  t.same(complaint('DEL', await stage.del('r1')), [])
  rmSync(stage.host.runDir, { recursive: true })
  t.same(complaint('GC', await stage.gc(stage.attachment('r1').conf, [])), [])
  await gone(t, stage)
})

t.test('a netconf that no longer parses still finds the attachment, also with ifName', async (t) => {
  const stage = hostStage(t, { ifName: 'net7' })
  await addAll(t, stage, ['r1'])
  const broken = { ...stage.attachment('r1').conf, mtu: 'x' }
  t.match(await stage.del('r1', { conf: broken }), { code: 1, json: { code: 6 } }, 'DEL says so')
  await gone(t, stage)
})

for (const boot of ['another', 'the same']) {
  for (const undo of boot === 'another' ? ['DEL', 'GC'] : ['DEL']) {
    t.test(`a link of ${boot} boot, whose host is gone: ${undo} forgets it`, async (t) => {
      const stage = linkStage(t)
      await addAll(t, stage, ['r1'])
      for (const [name, text] of Object.entries(filesIn(stage.host.stateDir))) {
        const record = { ...JSON.parse(text), ...(boot === 'another' ? { bootId: 'another' } : {}) }
        writeFileSync(join(stage.host.stateDir, name), JSON.stringify(record))
      }
      stage.die('r1')
      stage.host.deleteNetns(stage.host.name)
      const conf = linkConf({ 'cni.dev/valid-attachments': [] })
      const call = { conf, containerID: undo === 'DEL' ? 'ctr-one' : '', args: 'END=r1' }
      const env = { NUGATOR_STATE_DIR: stage.host.stateDir, NUGATOR_RUN_DIR: stage.host.runDir }
      t.same(complaint(undo, await newHost(t).cni(undo, { ...call, env })), [])
      t.same(filesIn(stage.host.stateDir), {}, 'no record is left')
    })
  }
}

const PAGE = 4096

/** Fills a disk until only so many pages are free. */
function fill(path: string, pages: number): void {
  const { bavail, bsize } = statfsSync(path)
  writeFileSync(join(path, 'fill'), Buffer.alloc(bavail * bsize - pages * PAGE))
}

for (const [mode, stageOf] of Object.entries({ host: hostStage, peer: peerStage, link: linkStage })) {
  for (const freed of [true, false]) {
    t.test(
      `${mode} mode: the disk is full${freed ? ', then has space again' : ' and stays so'}`,
      async (t) => {
        const stage = stageOf(t)
        const { stateDir } = stage.host
        mkdirSync(stateDir)
        const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', stateDir])
        t.equal(mounted.code, 0, mounted.stderr)
        t.teardown(() => run('umount', [stateDir]))
        let failed = 0
        for (let pages = 0; ; pages++) {
          fill(stateDir, pages)
          const done = await stage.add('r1')
          if (done.code !== 0) failed++
          if (done.code !== 0) t.match(done.json, { code: 999, msg: /ENOSPC/ }, `${pages} pages were free`)
          if (freed) rmSync(join(stateDir, 'fill'))
          t.same(complaint('DEL', await stage.del('r1')), [])
          rmSync(join(stateDir, 'fill'), { force: true })
          await gone(t, stage)
          if (done.code === 0) break
        }
        t.ok(failed > 0, `${failed} ADDs failed for want of space`)
        t.same(complaint('ADD', await stage.add('r1')), [])
        if (mode !== 'link') t.same(complaint('DEL', await stage.del('r1')), [])
        else await fullWithTwo(t, stage)
        await gone(t, stage)
      },
    )
  }
}

/** One end is attached; the other comes and goes while the disk is full. */
async function fullWithTwo(t: Test, stage: Stage): Promise<void> {
  const { stateDir } = stage.host
  fill(stateDir, 0)
  t.match(await stage.add('r2'), { code: 1, json: { msg: /ENOSPC/ } }, 'ADD of the other')
  t.same(await linkProblems(stage, ['r1']), [], 'the first is as it was')
  rmSync(join(stateDir, 'fill'))
  t.same(complaint('ADD of the other', await stage.add('r2')), [])
  fill(stateDir, 0)
  t.same(complaint('DEL of the other', await stage.del('r2')), [])
  t.same(await linkProblems(stage, ['r1']), [], 'the first is as it was')
  t.same(complaint('DEL', await stage.del('r1')), [])
  rmSync(join(stateDir, 'fill'))
}
